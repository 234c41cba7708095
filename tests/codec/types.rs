//! Packet identifiers, QoS, versions, reason codes, instants.

use flowsdk::time::Instant;
use flowsdk::types::{PacketId, ProtocolVersion, ProtocolVersion::V3_1_1, ProtocolVersion::V5, QoS, ReasonCode};

/// `[MQTT-2.2.1-3]`
#[test]
fn packet_ids_run_from_1_to_65535_and_around() {
    assert_eq!(PacketId::new(0), None);
    let mut id = PacketId::MIN;
    for expected in 1..=u16::MAX {
        assert_eq!((id.value(), PacketId::new(expected)), (expected, Some(id)));
        id = id.next();
    }
    assert_eq!((id, id.to_string().as_str()), (PacketId::MIN, "1"));
}

#[test]
fn there_are_three_qos_and_two_versions() {
    for bits in 0..=u8::MAX {
        assert_eq!(QoS::from_bits(bits).map(QoS::bits), (bits <= 2).then_some(bits));
        let level = ProtocolVersion::from_level(bits).map(ProtocolVersion::level);
        assert_eq!(level, [4, 5].contains(&bits).then_some(bits));
    }
    assert!(V5.is_v5() && !V3_1_1.is_v5() && ProtocolVersion::default() == V5);
    assert_eq!(QoS::default(), QoS::AtMostOnce);
}

/// The table of section 2.4 with its names.
const REASON_CODES: &[(u8, &str)] = &[
    (0x00, "Success"),
    (0x01, "Granted QoS 1"),
    (0x02, "Granted QoS 2"),
    (0x04, "Disconnect with Will Message"),
    (0x10, "No matching subscribers"),
    (0x11, "No subscription existed"),
    (0x18, "Continue authentication"),
    (0x19, "Re-authenticate"),
    (0x80, "Unspecified error"),
    (0x81, "Malformed Packet"),
    (0x82, "Protocol Error"),
    (0x83, "Implementation specific error"),
    (0x84, "Unsupported Protocol Version"),
    (0x85, "Client Identifier not valid"),
    (0x86, "Bad User Name or Password"),
    (0x87, "Not authorized"),
    (0x88, "Server unavailable"),
    (0x89, "Server busy"),
    (0x8A, "Banned"),
    (0x8B, "Server shutting down"),
    (0x8C, "Bad authentication method"),
    (0x8D, "Keep Alive timeout"),
    (0x8E, "Session taken over"),
    (0x8F, "Topic Filter invalid"),
    (0x90, "Topic Name invalid"),
    (0x91, "Packet Identifier in use"),
    (0x92, "Packet Identifier not found"),
    (0x93, "Receive Maximum exceeded"),
    (0x94, "Topic Alias invalid"),
    (0x95, "Packet too large"),
    (0x96, "Message rate too high"),
    (0x97, "Quota exceeded"),
    (0x98, "Administrative action"),
    (0x99, "Payload format invalid"),
    (0x9A, "Retain not supported"),
    (0x9B, "QoS not supported"),
    (0x9C, "Use another server"),
    (0x9D, "Server moved"),
    (0x9E, "Shared Subscriptions not supported"),
    (0x9F, "Connection rate exceeded"),
    (0xA0, "Maximum connect time"),
    (0xA1, "Subscription Identifiers not supported"),
    (0xA2, "Wildcard Subscriptions not supported"),
];

#[test]
fn reason_codes_of_v5_are_those_of_its_table_with_its_names() {
    assert_eq!(REASON_CODES.len(), 43);
    for byte in 0..=u8::MAX {
        let expected = REASON_CODES.iter().find(|(code, _)| *code == byte);
        let code = ReasonCode::from_byte(byte);
        assert_eq!(code.map(ReasonCode::byte), expected.map(|(code, _)| *code));
        assert_eq!(code.map(|code| code.description(V5)), expected.map(|(_, name)| *name));
        assert_eq!(code.map(ReasonCode::is_error), expected.map(|(code, _)| *code >= 0x80));
    }
    for (qos, code) in [(QoS::AtMostOnce, 0), (QoS::AtLeastOnce, 1), (QoS::ExactlyOnce, 2)] {
        assert_eq!(ReasonCode::granted(qos).byte(), code);
    }
    assert_eq!(ReasonCode::NOT_AUTHORIZED.to_string(), "Not authorized (0x87)");
    assert_eq!(format!("{:?}", ReasonCode::SUCCESS), "0x00 Success");
}

#[test]
fn return_codes_of_v3_1_1_map_there_and_back_and_speak_its_words() {
    for (return_code, reason_code, words) in [
        (0, 0x00, "Connection Accepted"),
        (1, 0x84, "Connection Refused, unacceptable protocol version"),
        (2, 0x85, "Connection Refused, identifier rejected"),
        (3, 0x88, "Connection Refused, Server unavailable"),
        (4, 0x86, "Connection Refused, bad user name or password"),
        (5, 0x87, "Connection Refused, not authorized"),
    ] {
        let code = ReasonCode::from_return_code(return_code).expect("a return code");
        assert_eq!((code.byte(), code.return_code()), (reason_code, Some(return_code)));
        assert_eq!(code.description(V3_1_1), words);
    }
    for (suback_code, words) in [(1, "Success - Maximum QoS 1"), (2, "Success - Maximum QoS 2"), (0x80, "Failure")] {
        let code = ReasonCode::from_byte(suback_code).expect("a return code");
        assert_eq!(code.description(V3_1_1), words);
    }
    assert!((6..=u8::MAX).all(|code| ReasonCode::from_return_code(code).is_none()));
    let with_return_code = REASON_CODES.iter().filter_map(|(code, _)| ReasonCode::from_byte(*code)?.return_code());
    assert_eq!(with_return_code.count(), 6);
    assert_eq!(ReasonCode::BANNED.description(V3_1_1), "Banned");
}

#[test]
fn instants_compare_across_the_wrap_of_their_counter() {
    let longest = Instant::MAX_SPAN_MS;
    assert_eq!(longest, 0x7FFF_FFFF);
    for start in [0, 1, 0x7FFF_FFFF, 0x8000_0000, u32::MAX - 5, u32::MAX] {
        let start = Instant::from_millis(start);
        assert!(start.has_reached(start));
        assert_eq!((start.millis_since(start), start.earlier_of(start)), (0, start));
        for span in [1, 10, 60_000, longest - 1, longest] {
            let later = start.after_millis(span);
            assert_eq!(later.as_millis(), start.as_millis().wrapping_add(span));
            assert!(later.has_reached(start) && !start.has_reached(later), "{start:?} and {span} ms");
            assert_eq!((later.millis_since(start), start.millis_since(later)), (span, 0));
            assert_eq!((start.earlier_of(later), later.earlier_of(start)), (start, start));
        }
        assert_eq!(start.after_millis(u32::MAX), start.after_millis(longest));
    }
}
