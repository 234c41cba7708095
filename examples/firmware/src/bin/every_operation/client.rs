//! `embedded::blocking`, with both kinds of transports.

use core::hint::black_box;

use embedded_io::{ErrorKind, ErrorType, Read, ReadReady, Write};
use firmware::board;
use flowsdk::codec::Properties;
use flowsdk::embedded::Error;
use flowsdk::embedded::blocking::Client;
use flowsdk::packet::{Auth, Disconnect};
use flowsdk::session::{Event, Fixed, Session, Storage};

use crate::codec::every_property;
use crate::packets::subscription;
use crate::session::{config, with_message, with_options};
use crate::types::{code, now};
use crate::{Input, any, used};

/// A transport that could do anything.
struct Anything;

impl ErrorType for Anything {
    type Error = ErrorKind;
}

impl Read for Anything {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, ErrorKind> {
        used(buffer);
        black_box(Ok(0))
    }
}

impl ReadReady for Anything {
    fn read_ready(&mut self) -> Result<bool, ErrorKind> {
        black_box(Ok(true))
    }
}

impl Write for Anything {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, ErrorKind> {
        used(bytes);
        black_box(Ok(0))
    }

    fn flush(&mut self) -> Result<(), ErrorKind> {
        black_box(Ok(()))
    }
}

pub(crate) fn all(input: &Input, buffer: &mut [u8]) {
    let session = Session::new(config(input), Fixed::<512, 4>::new());
    let mut client = Client::new(session, Anything, buffer);
    used(commands(input, &mut client));
    used(polls(input, &mut client));
    let (session, transport) = client.into_parts(now(input));
    let mut client = Client::with_read_timeout(session, transport, buffer);
    used(polls(input, &mut client));
    // A storage that is lent, as the other programs have it.
    let mut storage = Fixed::<256, 2, 0>::empty();
    let mut client = Client::new(Session::new(config(input), &mut storage), Anything, buffer);
    used(polls(input, &mut client));
}

fn commands<S: Storage>(input: &Input, client: &mut Client<'_, Anything, S>) -> Result<(), Error<ErrorKind>> {
    let now = now(input);
    let list = every_property(input);
    let list = black_box(&list[..]);
    let (reason_code, properties) = (code(input), Properties::new(list));
    with_options(input, |options| any(client).connect(now, options))?;
    used(with_message(input, |message| any(client).publish(now, message))?);
    used(any(client).subscribe(now, &[subscription(input)], list)?);
    used(any(client).unsubscribe(now, &[input.text], list)?);
    any(client).authenticate(now, &Auth { reason_code, properties })?;
    any(client).ping(now)?;
    any(client).disconnect(now, &Disconnect { reason_code, properties })?;
    used(any(client).poll_timeout());
    used(any(client).poll_dropped().map(|dropped| (dropped.packet_id, dropped.reason)));
    used(any(client).replace_transport(now, Anything));
    used(any(client).transport_mut());
    used(any(client).session().is_connected());
    any(client).session_mut().set_receive_limit(input.number());
    Ok(())
}

fn polls<S: Storage>(input: &Input, client: &mut Client<'_, Anything, S>) -> Result<(), Error<ErrorKind>> {
    let at = now(input);
    let mut receipt = None;
    if let Some(event) = any(client).poll(at)? {
        used(event);
        if let Event::Message(message) = event {
            receipt = message.receipt;
        }
    }
    if let Some(receipt) = receipt {
        any(client).acknowledge(at, receipt, code(input))?;
    }
    used(any(client).poll_with(at, |event, session| used((event, session.is_closing())))?);
    used(any(client).wait(at, board::now)?);
    used(with_options(input, |options| any(client).connect_and_wait(options, at, board::now).map(|c| c.reason_code))?);
    Ok(())
}
