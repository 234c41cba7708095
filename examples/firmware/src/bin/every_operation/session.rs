//! `session`: every command, every input, every output.

use core::hint::black_box;

use flowsdk::codec::Properties;
use flowsdk::packet::{Auth, Disconnect};
use flowsdk::session::{
    Acknowledgement, ApplicationMessage, Config, ConnectOptions, Event, Fixed, Misuse, Oversize, PeerError, Session,
};

use crate::codec::every_property;
use crate::packets::{subscription, will};
use crate::types::{code, now, qos, version};
use crate::{Input, any, used};

pub(crate) fn all(input: &Input) {
    let mut session = Session::new(config(input), Fixed::<512, 4>::new());
    used(commands(input, &mut session));
    used(inputs(input, &mut session).map_err(PeerError::reason_code));
    outputs(input, &mut session);
    state(input, &mut session);
}

/// A configuration that could be any.
pub(crate) fn config(input: &Input) -> Config {
    Config {
        version: version(input),
        acknowledgement: input
            .one_of(&[Acknowledgement::Automatic, Acknowledgement::Manual], Acknowledgement::Automatic),
        receive_limit: input.number(),
        oversize: input.one_of(&[Oversize::Refuse, Oversize::Skip, Oversize::Stream], Oversize::Refuse),
        receive_maximum: input.number() as u16,
        topic_alias_maximum: input.number() as u16,
        outbound_topic_aliases: input.number() == 1,
        connect_timeout_ms: input.number(),
        ping_timeout_ms: input.number(),
    }
}

/// Hands over the options of a connection that could be any.
pub(crate) fn with_options<R>(input: &Input, then: impl FnOnce(&ConnectOptions<'_>) -> R) -> R {
    let list = every_property(input);
    then(&ConnectOptions {
        client_id: input.text,
        clean_start: input.number() == 1,
        keep_alive: input.number() as u16,
        username: black_box(Some(input.text)),
        password: black_box(Some(input.bytes)),
        will: black_box(Some(will(input, Properties::new(black_box(&list))))),
        session_expiry_interval: input.number(),
        properties: black_box(&list),
    })
}

/// Hands over a message that could be any.
pub(crate) fn with_message<R>(input: &Input, then: impl FnOnce(&ApplicationMessage<'_>) -> R) -> R {
    let list = every_property(input);
    let (retain, properties) = (input.number() == 1, Properties::new(black_box(&list)));
    then(&ApplicationMessage { topic: input.text, payload: input.bytes, qos: qos(input), retain, properties })
}

fn commands(input: &Input, session: &mut Session<Fixed<512, 4>>) -> Result<(), Misuse> {
    let now = now(input);
    let list = every_property(input);
    let list = black_box(&list[..]);
    let (reason_code, properties) = (code(input), Properties::new(list));
    with_options(input, |options| any(session).connect(now, options))?;
    used(with_message(input, |message| any(session).publish(now, message))?);
    used(any(session).subscribe(now, &[subscription(input)], list)?);
    used(any(session).unsubscribe(now, &[input.text], list)?);
    any(session).authenticate(now, &Auth { reason_code, properties })?;
    any(session).ping(now)?;
    any(session).disconnect(now, &Disconnect { reason_code, properties })
}

fn inputs(input: &Input, session: &mut Session<Fixed<512, 4>>) -> Result<(), PeerError> {
    let now = now(input);
    let progress = any(session).handle_input(now, input.bytes)?;
    used((progress.goes_on(), progress.consumed, progress.stalled));
    if let Some(Event::Message(message)) = progress.event {
        used(any(session).topic(message.topic));
        if let Some(receipt) = message.receipt {
            used(receipt.packet_id());
            used(any(session).acknowledge(now, receipt, code(input)));
        }
    }
    used(progress.event);
    any(session).handle_timeout(now)?;
    any(session).handle_closed(now);
    any(session).set_reading_paused(now, input.number() == 1);
    Ok(())
}

fn outputs(input: &Input, session: &mut Session<Fixed<512, 4>>) {
    let now = now(input);
    used(any(session).poll_transmit(now));
    let mut slices = [&[][..]; 4];
    used(any(session).poll_transmit_many(now, &mut slices));
    used(slices);
    any(session).consume_transmit(now, input.number() as usize);
    used(any(session).poll_timeout());
    used(any(session).poll_dropped());
}

fn state(input: &Input, session: &mut Session<Fixed<512, 4>>) {
    any(session).set_receive_limit(input.number());
    used(any(session).storage_mut());
    let session = any(session);
    used((session.is_connected(), session.has_connection(), session.is_closing(), session.version()));
    used((session.config(), session.server_limits(), session.send_quota(), session.storage()));
}
