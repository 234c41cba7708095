//! What the programs in `src/bin` share: the board.

#![no_std]

pub mod board;
