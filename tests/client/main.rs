//! The client with its threads, against a scripted broker and a real one in the process.

#[path = "../support/mod.rs"]
mod support;

mod recorder;

// Against the scripted broker.

// Against the real broker in the process.
