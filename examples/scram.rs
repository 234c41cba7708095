//! Enhanced authentication by SCRAM-SHA-256 (RFC 7677): client and server prove to each other that they know the
//! password, which is never sent.
//!
//! It starts a broker inside this process that knows the user `ada`, connects, authenticates once more on the live
//! connection, and shows what becomes of a wrong password.

#[path = "../tests/support/embedded_broker.rs"]
mod embedded_broker;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use flowsdk::mqtt_client::{
    AsyncClientConfig, AsyncMqttClient, Authentication, Authenticator, Connecting, ConnectionResult, MqttClientOptions,
    MqttEvent, Secret,
};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};

use embedded_broker::EmbeddedBroker;

/// How long each step may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// What the client says about channel binding: that it has none.
const HEADER: &str = "n,,";

/// More rounds than this are a way to keep the client busy.
const MOST_ROUNDS: u32 = 10_000_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let broker = broker("ada", "correct horse")?;
    let (client, result) = connect(&broker, "ada", "correct horse")?;
    println!("right password: {}", result.reason_description());
    let again = client.reauthenticate_tracked()?.wait(PATIENCE)?;
    println!("authenticated again: {:?}", again.outcome);
    client.shutdown()?;

    let (client, result) = connect(&broker, "ada", "wrong horse")?;
    println!("wrong password: {}", result.reason_description());
    client.shutdown()?;
    Ok(())
}

/// A client that has its answer to CONNECT.
fn connect(
    broker: &EmbeddedBroker,
    user: &str,
    password: &str,
) -> Result<(AsyncMqttClient, ConnectionResult), Box<dyn std::error::Error>> {
    let options = MqttClientOptions {
        peer: broker.address().to_string(),
        client_id: "scram-example".to_string(),
        connecting: Connecting { authentication: Some(scram(user, password)), ..Default::default() },
        ..Default::default()
    };
    let (client, mut events) = AsyncMqttClient::with_receiver(options, AsyncClientConfig::default())?;
    client.connect()?;
    while let Some(event) = events.recv_timeout(PATIENCE) {
        match event {
            MqttEvent::Connected(result) => return Ok((client, result)),
            MqttEvent::Error(error) => return Err(error.into()),
            _ => {}
        }
    }
    Err("no answer to CONNECT".into())
}

/// Authentication by SCRAM-SHA-256, with a new exchange for each connection.
pub fn scram(user: &str, password: &str) -> Authentication {
    let (user, password) = (user.to_string(), Arc::new(password.to_string()));
    Authentication::new("SCRAM-SHA-256", move || Scram::new(&user, &password))
}

/// The client's side of one exchange.
pub struct Scram {
    password: Arc<String>,
    nonce: String,
    /// What the client has said first, without the header.
    first: String,
    /// What the server has to prove itself by, once that is known.
    server_signature: Option<[u8; 32]>,
}

impl Scram {
    /// An exchange with a nonce of its own.
    pub fn new(user: &str, password: &Arc<String>) -> Self {
        // `,` and `=` have a meaning in the messages.
        let user = user.replace('=', "=3D").replace(',', "=2C");
        let mut nonce = [0; 18];
        getrandom::fill(&mut nonce).expect("the system's random numbers");
        let nonce = BASE64.encode(nonce);
        let first = format!("n={user},r={nonce}");
        Self { password: Arc::clone(password), nonce, first, server_signature: None }
    }

    fn final_message(&mut self, server_first: &str) -> io::Result<String> {
        let nonce = field(server_first, 'r')?;
        if !nonce.starts_with(&self.nonce) || nonce.len() == self.nonce.len() {
            return Err(invalid("the server's nonce does not continue ours"));
        }
        let salt = decode(field(server_first, 's')?)?;
        let rounds = field(server_first, 'i')?.parse().map_err(|_| invalid("no number of rounds"))?;
        if !(4096..=MOST_ROUNDS).contains(&rounds) {
            return Err(invalid("a number of rounds that is too small to be safe, or too large to be serious"));
        }
        let mut salted = [0; 32];
        pbkdf2::pbkdf2_hmac::<Sha256>(self.password.as_bytes(), &salt, rounds, &mut salted);

        let without_proof = format!("c={},r={nonce}", BASE64.encode(HEADER));
        let messages = format!("{},{server_first},{without_proof}", self.first);
        let client_key = hmac(&salted, b"Client Key");
        let signature = hmac(&Sha256::digest(client_key), messages.as_bytes());
        let proof: Vec<u8> = client_key.iter().zip(signature).map(|(key, bits)| key ^ bits).collect();
        self.server_signature = Some(hmac(&hmac(&salted, b"Server Key"), messages.as_bytes()));
        Ok(format!("{without_proof},p={}", BASE64.encode(proof)))
    }
}

impl Authenticator for Scram {
    fn start(&mut self) -> io::Result<Option<Secret>> {
        Ok(Some(Secret::from(format!("{HEADER}{}", self.first))))
    }

    fn answer(&mut self, challenge: &[u8]) -> io::Result<Option<Secret>> {
        if self.server_signature.is_some() {
            return Err(invalid("a challenge too many"));
        }
        let server_first = std::str::from_utf8(challenge).map_err(|_| invalid("a challenge that is no text"))?;
        Ok(Some(Secret::from(self.final_message(server_first)?)))
    }

    fn finish(&mut self, data: &[u8]) -> io::Result<()> {
        let expected = self.server_signature.ok_or_else(|| invalid("success without a challenge"))?;
        let server_final = std::str::from_utf8(data).map_err(|_| invalid("a proof that is no text"))?;
        let given = decode(field(server_final, 'v')?)?;
        // Compared in a time that says nothing of where they differ.
        let difference = expected.iter().zip(&given).fold(0, |difference, (one, other)| difference | (one ^ other));
        if given.len() == expected.len() && difference == 0 {
            Ok(())
        } else {
            Err(io::Error::new(io::ErrorKind::PermissionDenied, "the server does not know the password"))
        }
    }
}

/// The value of an attribute of a message.
fn field(message: &str, name: char) -> io::Result<&str> {
    let found = message.split(',').find_map(|part| part.strip_prefix(name)?.strip_prefix('='));
    found.ok_or_else(|| invalid("an attribute is missing"))
}

fn decode(text: &str) -> io::Result<Vec<u8>> {
    BASE64.decode(text).map_err(|_| invalid("not base64"))
}

fn invalid(text: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}

fn hmac(key: &[u8], message: &[u8]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("a key of any length");
    mac.update(message);
    mac.finalize().into_bytes().into()
}

/// A broker that knows one user.
pub fn broker(user: &str, password: &str) -> io::Result<EmbeddedBroker> {
    use mqtt5::broker::auth_mechanisms::generate_scram_credential_line_with_iterations as credential_line;
    let line = credential_line(user, password, 4096).map_err(io::Error::other)?;
    let mut name = [0; 8];
    getrandom::fill(&mut name).map_err(io::Error::other)?;
    let file = std::env::temp_dir().join(format!("flowsdk-scram-{:016x}", u64::from_be_bytes(name)));
    std::fs::write(&file, line)?;
    let broker = EmbeddedBroker::start_with(|mut config| {
        config.auth_config = config.auth_config.with_scram_file(file.clone());
        config
    });
    std::fs::remove_file(&file)?;
    broker
}
