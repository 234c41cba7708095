//! Bytes on their way to a server, where they rest in a buffer of this crate's.

use zeroize::optimization_barrier;

use crate::macros::Bytes;

/// Bytes that are overwritten when they have gone: CONNECT and AUTH among them have passwords and tokens.
#[derive(Default)]
pub(super) struct Outbox(Vec<u8>);

impl Outbox {
    /// Appends bytes.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.make_room(bytes.len());
        self.0.extend_from_slice(bytes);
    }

    /// Makes room for so many more bytes. A buffer that grew by itself would leave a copy behind.
    pub(super) fn make_room(&mut self, len: usize) {
        if self.0.capacity() - self.0.len() < len {
            let mut larger = Vec::with_capacity((self.0.len() + len).max(2 * self.0.capacity()));
            larger.extend_from_slice(&self.0);
            self.wipe();
            self.0 = larger;
        }
    }

    pub(super) fn as_slice(&self) -> &[u8] {
        &self.0
    }

    #[cfg(feature = "websocket")]
    pub(super) fn as_mut_slice(&mut self) -> &mut [u8] {
        &mut self.0
    }

    pub(super) const fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Everything has gone. At most so much memory is kept.
    pub(super) fn clear(&mut self, kept: usize) {
        self.wipe();
        self.0.clear();
        self.0.shrink_to(kept);
    }

    /// Many bytes at a time, as all that is sent passes here.
    fn wipe(&mut self) {
        self.0.fill(0);
        optimization_barrier(self.0.as_slice());
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        self.wipe();
    }
}

impl std::fmt::Debug for Outbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        Bytes(self.0.len()).fmt(f)
    }
}
