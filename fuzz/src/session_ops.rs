//! Any operations on a session.

use arbitrary::{Result, Unstructured};
use flowsdk::arbitrary::SentPacket;
use flowsdk::codec::Writer;
use flowsdk::packet::AckKind;
use flowsdk::types::Role;

use crate::ledger::{Ledger, Step};
use crate::setup::{Kind, config, one_of};
use crate::support::{Rig, code};

/// Takes the steps that the bytes say, and settles; see the target.
pub fn session_ops(data: &[u8]) {
    let _ = run(&mut Unstructured::new(data));
}

/// An error is the end of the input where a session could not be made.
fn run(u: &mut Unstructured<'_>) -> Result<()> {
    let config = config(u)?;
    let kind = Kind::new(u)?;
    tell!("{kind:?} {config:?}");
    let mut rig = Rig::new(config, kind.session(config));
    rig.keep_alive = one_of(u, &[0, 3])?;
    let mut ledger = Ledger::new(rig);
    while !u.is_empty()
        && let Ok(steps) = step(u, config.version)
    {
        for step in steps {
            tell!("{step:?}");
            ledger.step(step);
        }
    }
    ledger.settle();
    Ok(())
}

/// A byte says which step, and what follows says more of it.
fn step(u: &mut Unstructured<'_>, version: flowsdk::types::ProtocolVersion) -> Result<Vec<Step>> {
    let step = match u.int_in_range(0..=22)? {
        // The whole way of a connection, which chance alone seldom goes.
        0 => {
            let session_present = u.arbitrary()?;
            return Ok(vec![
                Step::Connect { clean_start: false, other_client: false },
                Step::Transmit(usize::MAX),
                Step::Accept { session_present, receive_maximum: 3, aliases: 2 },
                Step::Deliver(usize::MAX),
            ]);
        }
        1..=3 => Step::Publish {
            qos: u.arbitrary()?,
            len: u.arbitrary::<u8>()?.into(),
            topic: one_of(u, &["t", "a topic", "another/topic"])?,
            expiry: if u.ratio(1_u8, 4)? { Some(u.int_in_range(0..=5)?) } else { None },
            encoded: u.arbitrary()?,
        },
        4 => Step::Subscribe,
        5 => Step::Unsubscribe,
        6 => {
            Step::Acknowledge { nth: u.int_in_range(0..=7)?, code: code(one_of(u, &[0, 0, 0x10, 0x83, 0x92])?).byte() }
        }
        7 => Step::Authenticate,
        8 => Step::Ping,
        9 => Step::Disconnect { with_reason: u.arbitrary()? },
        10 => Step::Transmit(one_of(u, &[1, 2, 7, 30, usize::MAX])?),
        11 => Step::Wait(one_of(u, &[1, 900, 5_000, 70_000, 1 << 30])?),
        12 => Step::Pause(u.arbitrary()?),
        13 => Step::Collect,
        14 => Step::Cut,
        15 => Step::Connect { clean_start: u.ratio(1_u8, 8)?, other_client: u.ratio(1_u8, 8)? },
        16 => Step::Accept {
            session_present: u.arbitrary()?,
            receive_maximum: u.int_in_range(1..=4)?,
            aliases: u.int_in_range(0..=2)?,
        },
        17 => Step::Serve {
            qos: u.arbitrary()?,
            id: u.int_in_range(1..=4)?,
            len: u.arbitrary::<u8>()?.into(),
            alias: if u.ratio(1_u8, 4)? { Some(u.int_in_range(1..=3)?) } else { None },
        },
        18 => Step::Acknowledged {
            kind: one_of(u, &[AckKind::Puback, AckKind::Pubrec, AckKind::Pubrel, AckKind::Pubcomp])?,
            id: u.int_in_range(1..=6)?,
            code: one_of(u, &[0, 0x10, 0x80])?,
        },
        19 => Step::AnswerAll,
        20 => Step::Garbage(bytes(u)?.to_vec()),
        21 => Step::Garbage(packet(u, version)?),
        _ => Step::Deliver(one_of(u, &[1, 3, usize::MAX])?),
    };
    Ok(vec![step])
}

/// Bytes behind their length.
fn bytes<'a>(u: &mut Unstructured<'a>) -> Result<&'a [u8]> {
    let len = usize::from(u.arbitrary::<u8>()?).min(u.len());
    u.bytes(len)
}

/// A packet of the server with anything in it, of bytes behind their length.
fn packet(u: &mut Unstructured<'_>, version: flowsdk::types::ProtocolVersion) -> Result<Vec<u8>> {
    let sent = SentPacket::of(&mut Unstructured::new(bytes(u)?), version, Role::Server)?;
    let mut bytes = Vec::new();
    let written = sent.packet.encode(&mut Writer::appending(&mut bytes), version, Role::Server);
    assert_eq!(written, Ok(()));
    Ok(bytes)
}
