use std::time::Instant;

use super::client::{PublishResult, SubscribeResult, UnsubscribeResult};
use super::event::Receipt;
use super::options::{DisconnectOptions, SubscribeOptions, TopicSubscription};
use super::token::{Promise, Token};
use crate::types::{QoS, ReasonCode};

/// What the handle asks of the worker.
#[derive(Debug)]
pub(super) enum Command {
    Connect,
    Publish(Publishing),
    Request(Requesting),
    Ping,
    SetAutoReconnect(bool),
    Disconnect(ReasonCode, Box<DisconnectOptions>),
    Shutdown,
}

impl Command {
    /// Whether doing both comes to the same as doing one.
    pub(super) fn is_same_control(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Connect, Self::Connect) | (Self::Shutdown, Self::Shutdown) => true,
            (Self::Disconnect(_, a), Self::Disconnect(_, b)) => a == b,
            (Self::SetAutoReconnect(a), Self::SetAutoReconnect(b)) => *a == *b,
            _ => false,
        }
    }
}

/// A message on its way.
#[derive(Debug)]
pub(super) struct Publishing {
    pub(super) token: Token,
    pub(super) qos: QoS,
    /// The encoded PUBLISH; empty while the session has it.
    pub(super) frame: Vec<u8>,
    pub(super) expiry: Option<Expiry>,
    pub(super) tracked: Option<Promise<PublishResult>>,
    /// It takes a place in the command queue.
    pub(super) in_queue: bool,
}

impl Publishing {
    pub(super) fn has_expired(&self, now: Instant) -> bool {
        self.expiry.is_some_and(|Expiry { since, seconds }| {
            now.saturating_duration_since(since).as_secs() >= u64::from(seconds)
        })
    }
}

/// How long a message is worth to be sent. Messages without it need no clock, which costs as much as their encoding.
#[derive(Clone, Copy, Debug)]
pub(super) struct Expiry {
    pub(super) since: Instant,
    pub(super) seconds: u32,
}

impl Expiry {
    pub(super) fn from_now(seconds: u32) -> Self {
        Self { since: Instant::now(), seconds }
    }
}

/// A subscribe or unsubscribe on its way.
#[derive(Debug)]
pub(super) struct Requesting {
    /// None where the client itself restores subscriptions.
    pub(super) token: Option<Token>,
    pub(super) options: SubscribeOptions,
    pub(super) kind: RequestingKind,
    /// It takes a place in the command queue.
    pub(super) in_queue: bool,
}

#[derive(Debug)]
pub(super) enum RequestingKind {
    Subscribe(Vec<TopicSubscription>, Option<Promise<SubscribeResult>>),
    Unsubscribe(Vec<String>, Option<Promise<UnsubscribeResult>>),
}

/// A message that the application is done with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Acknowledgement {
    pub(super) receipt: Receipt,
    pub(super) code: ReasonCode,
    /// The application has asked for it, and wants to know when it comes too late.
    pub(super) by_hand: bool,
}
