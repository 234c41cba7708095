//! What one driver does in one round: six words on its command line.

use std::fmt;
use std::str::FromStr;

use crate::Error;

/// Where drivers publish.
pub const TOPIC: &str = "bench/topic";
/// What drivers subscribe to.
pub const FILTER: &str = "bench/#";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The driver publishes, the sink acknowledges.
    Publish,
    /// The driver subscribes, and the sink sends.
    Receive,
    /// The driver publishes one message at a time, and the sink sends it back.
    Echo,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Publish => "publish",
            Self::Receive => "receive",
            Self::Echo => "echo",
        })
    }
}

impl FromStr for Mode {
    type Err = Error;

    fn from_str(word: &str) -> Result<Self, Error> {
        match word {
            "publish" => Ok(Self::Publish),
            "receive" => Ok(Self::Receive),
            "echo" => Ok(Self::Echo),
            _ => Err(format!("{word:?} is no mode").into()),
        }
    }
}

#[derive(Clone, Debug)]
pub struct Plan {
    pub host: String,
    pub port: u16,
    pub mode: Mode,
    pub qos: u8,
    /// Bytes of payload.
    pub size: usize,
    /// Messages of QoS 1 and 2 in flight.
    pub window: u16,
    pub messages: usize,
}

impl Plan {
    pub fn from_args() -> Result<Self, Error> {
        let words: Vec<String> = std::env::args().skip(1).collect();
        let [host, port, mode, qos, size, window, messages] = words.as_slice() else {
            return Err("usage: driver HOST PORT publish|receive|echo QOS SIZE WINDOW MESSAGES".into());
        };
        Ok(Self {
            host: host.clone(),
            port: port.parse()?,
            mode: mode.parse()?,
            qos: qos.parse()?,
            size: size.parse()?,
            window: window.parse()?,
            messages: messages.parse()?,
        })
    }

    pub fn to_args(&self) -> [String; 7] {
        [
            self.host.clone(),
            self.port.to_string(),
            self.mode.to_string(),
            self.qos.to_string(),
            self.size.to_string(),
            self.window.to_string(),
            self.messages.to_string(),
        ]
    }

    pub fn address(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    pub fn payload(&self) -> Vec<u8> {
        vec![b'x'; self.size]
    }
}
