//! Enhanced authentication by SCRAM-SHA-256, as the example does it, against the real broker.

use std::io;
use std::sync::Arc;

use flowsdk::mqtt_client::{
    Authentication, Authenticator, ConnectionError, MqttClientOptions, MqttEvent, ProtocolOptions, Secret,
};

use crate::broker_fixture::{Client, qos, quick};
use crate::scram_example::{Scram, broker, scram};
use crate::support::PATIENCE;
use crate::support::embedded_broker::EmbeddedBroker;

fn options(broker: &std::net::SocketAddr, authentication: Authentication) -> MqttClientOptions {
    let mut options = MqttClientOptions {
        peer: broker.to_string(),
        client_id: "scram".to_string(),
        protocol: ProtocolOptions { session_expiry_interval: 60, ..Default::default() },
        ..Default::default()
    };
    options.connecting.authentication = Some(authentication);
    options
}

/// [MQTT-4.12.0-3] [MQTT-4.12.1-1]
#[test]
fn a_client_and_a_broker_that_know_the_password_authenticate_each_other_again_and_again() {
    let broker = broker("ada", "correct horse").expect("a broker");
    let client = Client::connected(options(&broker.address(), scram("ada", "correct horse")));
    client.subscribed("t", 1);
    for round in 1..=3 {
        let again = client.reauthenticate_tracked().expect("an open client");
        client.published("t", b"meanwhile", &qos(1));
        assert!(again.wait(PATIENCE).expect("an outcome").is_success());
        assert_eq!(client.payloads(round).len(), round);
    }
    assert_eq!(client.log.count(|event| matches!(event, MqttEvent::Error(_))), 0, "{}", client.log.tail());
}

#[test]
fn a_wrong_password_or_user_is_refused_for_good() {
    let broker = broker("ada", "correct horse").expect("a broker");
    for (user, password) in [("ada", "wrong horse"), ("bob", "correct horse")] {
        let client = Client::new(options(&broker.address(), scram(user, password)), quick());
        client.connect().expect("an open client");
        let reason = client.log.wait_for_event(|event| match event {
            MqttEvent::Error(error) => match error.get_ref()?.downcast_ref::<ConnectionError>()? {
                ConnectionError::Refused { reason, .. } => Some(reason.byte()),
                _ => None,
            },
            _ => None,
        });
        assert_eq!(reason, 0x87);
    }
}

/// Answers as the one inside, and changes what the server says at the end.
struct Forging(Scram);

impl Authenticator for Forging {
    fn start(&mut self) -> io::Result<Option<Secret>> {
        self.0.start()
    }

    fn answer(&mut self, challenge: &[u8]) -> io::Result<Option<Secret>> {
        self.0.answer(challenge)
    }

    fn finish(&mut self, data: &[u8]) -> io::Result<()> {
        let mut forged = data.to_vec();
        forged[4] = if forged[4] == b'A' { b'B' } else { b'A' };
        self.0.finish(&forged)
    }
}

#[test]
fn a_broker_with_a_wrong_signature_is_left() {
    let broker = broker("ada", "correct horse").expect("a broker");
    let password = Arc::new("correct horse".to_string());
    let forging = Authentication::new("SCRAM-SHA-256", move || Forging(Scram::new("ada", &password)));
    let client = Client::new(options(&broker.address(), forging), quick());
    client.connect().expect("an open client");
    let kind = client.log.error("the server does not know the password");
    assert_eq!(kind, io::ErrorKind::PermissionDenied);
    assert_eq!(client.log.count(|event| matches!(event, MqttEvent::Connected(_))), 0);
}

#[test]
fn a_method_that_the_broker_does_not_have_is_refused() {
    let broker = EmbeddedBroker::start().expect("a broker");
    let client = Client::new(options(&broker.address(), scram("ada", "correct horse")), quick());
    client.connect().expect("an open client");
    assert_eq!(client.log.connection(1).reason_code, 0x8C);
}
