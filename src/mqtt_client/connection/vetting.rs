//! Between TLS and CONNECT: the application looks at the certificate of the server.

use std::io;
use std::time::Instant;

use mio::Registry;

use super::Connection;
use super::link::Link;
use crate::mqtt_client::connector::Opened;
use crate::mqtt_client::error::ConnectionError;
use crate::mqtt_client::tls::TlsError;
use crate::mqtt_client::verdict::Answer;

#[derive(Debug)]
pub(super) struct Vetting {
    opened: Opened,
    deadline: Instant,
    answer: Answer,
}

impl Vetting {
    pub(super) const fn deadline(&self) -> Instant {
        self.deadline
    }
}

impl Connection {
    /// Shows the certificate to the application before anything is sent, and goes on if there is none.
    pub(super) fn vet(&mut self, registry: &Registry, opened: Opened, deadline: Instant) {
        let asked = opened.transport.certificate().and_then(|certificate| self.outlet.ask(certificate.to_vec()));
        match asked {
            Some(answer) => self.link = Link::Vetting(Box::new(Vetting { opened, deadline, answer })),
            None => self.begin_connection(registry, opened, deadline),
        }
    }

    pub(super) fn check_verdict(&mut self, registry: &Registry) {
        let Link::Vetting(vetting) = &self.link else { return };
        let verdict = vetting.answer.get();
        if verdict.is_none() && self.now < vetting.deadline {
            return;
        }
        let Link::Vetting(vetting) = std::mem::replace(&mut self.link, Link::Down) else { return };
        let Vetting { opened, deadline, .. } = *vetting;
        let server = opened.peer.to_string();
        match verdict {
            Some(true) => self.begin_connection(registry, opened, deadline),
            Some(false) => self.fail_attempt(ConnectionError::Tls { server, error: TlsError::Vetoed }.into()),
            None => {
                let text = format!("cannot connect to {server}: no callback has looked at its certificate in time");
                self.fail_attempt(io::Error::new(io::ErrorKind::TimedOut, text));
            }
        }
    }
}
