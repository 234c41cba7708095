//! Nothing is kept where the feature `persistence` is off.

use std::convert::Infallible;
use std::time::Instant;

use super::ended::{Ended, Hearer, Settled, Telling};
use crate::mqtt_client::command::Publishing;
use crate::mqtt_client::token::Token;
use crate::session::Change;
use crate::types::PacketId;

/// There is none.
pub(in crate::mqtt_client) struct Journal(Infallible);

impl Journal {
    pub(in crate::mqtt_client) fn accept(&mut self, _: &Publishing, _: Instant) {
        match self.0 {}
    }

    pub(in crate::mqtt_client) fn assign(&mut self, _: Token, _: PacketId) {
        match self.0 {}
    }

    pub(in crate::mqtt_client) fn take_back(&mut self, _: Token) {
        match self.0 {}
    }

    pub(in crate::mqtt_client) fn end(&mut self, _: Ended) {
        match self.0 {}
    }

    pub(in crate::mqtt_client) fn tell(&self, _: Token, _: bool) -> (Telling, Option<Telling>) {
        match self.0 {}
    }

    pub(in crate::mqtt_client) fn note(&mut self, _: Change, _: impl FnOnce(PacketId) -> Option<Token>) {
        match self.0 {}
    }

    pub(in crate::mqtt_client) fn has_changes(&self) -> bool {
        match self.0 {}
    }

    pub(in crate::mqtt_client) fn submit(&mut self, _: u64) {
        match self.0 {}
    }

    pub(in crate::mqtt_client) fn take_durable(&mut self) -> Settled {
        match self.0 {}
    }

    pub(in crate::mqtt_client) fn is_settled(&self) -> bool {
        match self.0 {}
    }

    pub(in crate::mqtt_client) fn give_up_if_failing(&self) -> bool {
        match self.0 {}
    }

    pub(in crate::mqtt_client) fn holds_up_messages(&self) -> bool {
        match self.0 {}
    }
}

/// Nor is there one who writes.
pub(in crate::mqtt_client) struct Keeper(Infallible);

impl Keeper {
    pub(super) fn end_telling(&self, _: Token, _: Hearer, _: bool) {
        match self.0 {}
    }
}
