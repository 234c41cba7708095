//! The session as a state machine: a client's end and a server's end of a link in memory, a clock turned by hand. Every
//! behaviour runs with the heapless storage and the one on the heap, in both versions where it has two.

mod ledger;
mod support;

mod aliases;
mod any_order;
mod authenticating;
mod borrowed;
mod capacity;
mod connecting;
mod ending;
mod errors;
mod exhaustive;
mod full;
mod inbound;
mod keep_alive;
mod left_out;
mod link_faults;
mod long_messages;
mod model;
mod outbound;
mod packet_ids;
mod pieces;
mod quota;
mod refused_commands;
mod requests;
mod resuming;
mod server_limits;
