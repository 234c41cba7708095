//! What a heap storage shows of itself: all but the bytes of its packets.

use std::vec::Vec;

use super::{Heap, HeldFrame};
use crate::macros::{Bytes, shows};

shows! {
    Debug: impl[] Heap for Heap, |this| {
        limits: this.limits,
        wire: this.wire,
        maximum_packet_size: this.maximum_packet_size,
        held: this.held,
        held_lines: this.held_lines,
        held_bytes: this.held_bytes,
        unsent: this.unsent,
        releases: this.releases,
        release_lines: this.release_lines,
        unsent_releases: this.unsent_releases,
        requests: this.requests,
        answers: this.answers,
        received: this.received,
        inbound_aliases: this.inbound_aliases,
        outbound_aliases: this.outbound_aliases,
        farewell: Bytes(this.farewell.len()),
        spent: Bytes(this.spent.iter().map(Vec::len).sum()),
    }
}

shows! {
    Format: impl[] Heap for Heap, |this| { limits: this.limits, held_bytes: this.held_bytes }
}

shows! {
    Debug: impl[] HeldFrame for HeldFrame, |this| {
        held: this.held,
        frame: Bytes(this.frame.len()),
        state: this.state,
    }
}
