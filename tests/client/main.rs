//! The client with its threads, against a scripted broker and a real one in the process.
#![allow(clippy::duplicate_mod, reason = "the example brings along the broker that the tests use, too")]

#[path = "../support/mod.rs"]
mod support;

mod recorder;
#[allow(dead_code, unreachable_pub, reason = "the tests use the mechanism, not the program around it")]
#[path = "../../examples/scram.rs"]
mod scram_example;

// Against the scripted broker.
#[cfg(feature = "log")]
mod logging;
mod scripted_ahead;
mod scripted_anything;
mod scripted_authentication;
mod scripted_backlog;
mod scripted_buffer;
mod scripted_bursts;
mod scripted_connack;
mod scripted_connect;
mod scripted_custom;
mod scripted_delivery;
mod scripted_disconnect;
mod scripted_faults;
mod scripted_hanging;
mod scripted_inbound;
mod scripted_keep_alive;
mod scripted_offline;
mod scripted_peers;
mod scripted_phases;
mod scripted_progress;
#[cfg(feature = "proxy")]
mod scripted_proxies;
mod scripted_refusals;
mod scripted_requests;
mod scripted_resume;
mod scripted_room;
mod scripted_runs;
mod scripted_servers;
mod scripted_setup;
#[cfg(unix)]
mod scripted_unix;
mod scripted_unwelcome;
#[cfg(feature = "websocket")]
mod scripted_upgrades;
#[cfg(feature = "websocket")]
mod scripted_websocket;

// Clients that keep messages in a file, against the scripted broker.
#[cfg(feature = "persistence")]
mod persistence_errors;
#[cfg(feature = "persistence")]
mod persistence_inbound;
#[cfg(feature = "persistence")]
mod persistence_outbound;
#[cfg(feature = "persistence")]
mod persistence_outcomes;
#[cfg(feature = "persistence")]
mod persistence_setup;

// Clients that share threads.
mod runtime_fences;
mod runtime_shared;

// Against the real broker in the process.
mod broker_callbacks;
mod broker_fixture;
mod broker_ids;
mod broker_load;
mod broker_messages;
mod broker_resume;
mod broker_scram;
mod broker_seed;
mod broker_shutdown;
mod broker_will;
