//! Every property in every place: where it may stand, where not, twice, cut short, out of its range.

use flowsdk::codec::{DecodeError, EncodeError, Properties, Property, PropertyContext, PropertyId};
use flowsdk::types::{ProtocolVersion::V5, QoS};

use super::checks::{accepts, both_ways, refuses, refuses_to_write};
use super::frames::{FRAMES, Frame, ROWS, Row};
use super::notation::wire;

/// Calls `check` for every property in every place.
fn everywhere(mut check: impl FnMut(&Frame, &Row)) {
    for frame in FRAMES {
        for row in ROWS {
            check(frame, row);
        }
    }
}

/// A block with `tail` behind what the frame needs before this row.
fn block(frame: &Frame, row: &Row, tail: &[u8]) -> Vec<u8> {
    let base = frame.base(row).map_or(Vec::new(), |(_, bytes)| bytes);
    [&base[..], tail].concat()
}

/// The same as properties.
fn list(frame: &Frame, row: &Row, tail: &[Property<'static>]) -> Vec<Property<'static>> {
    frame.base(row).map(|(method, _)| method).into_iter().chain(tail.iter().copied()).collect()
}

#[test]
fn every_property_is_read_and_written_where_it_may_stand() {
    let mut places = 0;
    everywhere(|frame, row| {
        if row.is_allowed(frame) {
            let bytes = frame.around(&block(frame, row, &wire(row.notation)));
            both_ways(V5, frame.from, &bytes, frame.with(&list(frame, row, &[row.property])));
            places += 1;
        }
    });
    assert_eq!((ROWS.len(), places), (27, 100));
}

/// `[MQTT-3.14.2-2]` `[MQTT-3.3.4-6]`
#[test]
fn a_property_is_refused_where_it_may_not_stand() {
    everywhere(|frame, row| {
        if !row.is_allowed(frame) {
            let id = row.property.id();
            let error = if row.is_one_sided(frame) {
                DecodeError::OneSidedProperty(id)
            } else {
                DecodeError::MisplacedProperty(id)
            };
            refuses(V5, frame.from, &frame.around(&block(frame, row, &wire(row.notation))), error);
            let packet = list(frame, row, &[row.property]);
            refuses_to_write(V5, frame.from, &frame.with(&packet), EncodeError::MisplacedProperty(id));
        }
    });
}

#[test]
fn only_user_properties_and_the_identifiers_of_a_servers_publish_repeat() {
    everywhere(|frame, row| {
        if !row.is_allowed(frame) {
            return;
        }
        let id = row.property.id();
        let twice = wire(row.notation).repeat(2);
        let bytes = frame.around(&block(frame, row, &twice));
        let properties = list(frame, row, &[row.property, row.property]);
        let packet = frame.with(&properties);
        let repeats = id == PropertyId::UserProperty
            || (id == PropertyId::SubscriptionIdentifier && frame.context == PropertyContext::PublishFromServer);
        if repeats {
            both_ways(V5, frame.from, &bytes, packet);
        } else {
            refuses(V5, frame.from, &bytes, DecodeError::DuplicateProperty(id));
            refuses_to_write(V5, frame.from, &packet, EncodeError::DuplicateProperty(id));
        }
    });
}

#[test]
fn a_property_that_its_block_cuts_short_is_refused() {
    everywhere(|frame, row| {
        let whole = wire(row.notation);
        for len in 1..whole.len() {
            refuses(V5, frame.from, &frame.around(&block(frame, row, &whole[..len])), DecodeError::PropertyLength);
        }
    });
}

#[test]
#[cfg_attr(miri, ignore = "repeats itself too often")]
fn an_unknown_property_is_refused_in_every_packet() {
    let known: Vec<u8> = ROWS.iter().map(|row| wire(row.notation)[0]).collect();
    for frame in FRAMES {
        for number in (0..=0x7F).filter(|number| !known.contains(number)) {
            let error = DecodeError::UnknownProperty(number);
            refuses(V5, frame.from, &frame.around(&[number, 0, 0, 0, 0]), error);
        }
        refuses(V5, frame.from, &frame.around(&wire("80 01 00")), DecodeError::UnknownProperty(128));
        refuses(V5, frame.from, &frame.around(&wire("FF FF FF 7F")), DecodeError::UnknownProperty(255));
    }
}

/// `[MQTT-1.5.5-1]`
#[test]
fn an_identifier_or_a_length_in_too_many_bytes_is_refused_in_every_packet() {
    for frame in FRAMES {
        for block in ["81 00 01", "80 80 80 80 01", "FF FF FF FF 7F", "A6 00 0000 0000", "A6 80 80 00 0000 0000"] {
            refuses(V5, frame.from, &frame.around(&wire(block)), DecodeError::VariableByteInteger);
        }
        for length in ["80 00", "80 80 00", "80 80 80 00", "80 80 80 80 00", "FF FF FF FF FF"] {
            refuses(V5, frame.from, &frame.around_raw(&wire(length)), DecodeError::VariableByteInteger);
        }
        refuses(V5, frame.from, &frame.around_raw(&wire("FF FF FF 7F")), DecodeError::Truncated);
    }
    for identifier in ["0B 81 00", "0B 80 80 80 80 01"] {
        refuses(V5, flowsdk::types::Role::Server, &publish_with(identifier), DecodeError::VariableByteInteger);
    }
}

fn publish_with(block: &str) -> Vec<u8> {
    let is_publish = |frame: &&Frame| frame.context == PropertyContext::PublishFromServer;
    FRAMES.iter().find(is_publish).expect("a frame of PUBLISH").around(&wire(block))
}

/// `[MQTT-3.3.2-8]` `[MQTT-3.3.2-14]`
#[test]
#[cfg_attr(miri, ignore = "repeats itself too often")]
fn a_value_out_of_its_range_is_refused_wherever_the_property_may_stand() {
    let out_of_range = [
        ("0B 00", DecodeError::PropertyValue(PropertyId::SubscriptionIdentifier)),
        ("21 0000", DecodeError::PropertyValue(PropertyId::ReceiveMaximum)),
        ("27 00000000", DecodeError::PropertyValue(PropertyId::MaximumPacketSize)),
        ("23 0000", DecodeError::TopicAliasZero),
        ("08 0000", DecodeError::PropertyValue(PropertyId::ResponseTopic)),
        ("08 0001'+'", DecodeError::PropertyValue(PropertyId::ResponseTopic)),
        ("08 0003'a/#'", DecodeError::PropertyValue(PropertyId::ResponseTopic)),
    ];
    everywhere(|frame, row| {
        for (notation, error) in out_of_range {
            let bytes = wire(notation);
            if row.is_allowed(frame) && bytes[0] == wire(row.notation)[0] {
                refuses(V5, frame.from, &frame.around(&bytes), error);
            }
        }
    });
}

#[test]
#[cfg_attr(miri, ignore = "repeats itself too often")]
fn a_switch_is_0_or_1() {
    let switches = [0x01, 0x17, 0x19, 0x24, 0x25, 0x28, 0x29, 0x2A];
    everywhere(|frame, row| {
        let number = wire(row.notation)[0];
        if !row.is_allowed(frame) || !switches.contains(&number) {
            return;
        }
        for value in 0..=u8::MAX {
            let bytes = frame.around(&[number, value]);
            if value <= 1 {
                accepts(V5, frame.from, &bytes);
            } else {
                refuses(V5, frame.from, &bytes, DecodeError::PropertyValue(row.property.id()));
            }
        }
    });
}

/// `[MQTT-3.3.2-8]` `[MQTT-3.3.2-14]`
#[test]
fn a_value_out_of_its_range_is_never_written() {
    let range = |id| EncodeError::PropertyValue(id);
    for (property, error) in [
        (Property::SubscriptionIdentifier(0), range(PropertyId::SubscriptionIdentifier)),
        (Property::SubscriptionIdentifier(268_435_456), range(PropertyId::SubscriptionIdentifier)),
        (Property::MaximumQoS(QoS::ExactlyOnce), range(PropertyId::MaximumQoS)),
        (Property::ResponseTopic(""), range(PropertyId::ResponseTopic)),
        (Property::ResponseTopic("a/+"), range(PropertyId::ResponseTopic)),
        (Property::ResponseTopic("a/#"), range(PropertyId::ResponseTopic)),
    ] {
        let allowed = |frame: &&Frame| property.id().is_allowed_in(frame.context);
        for frame in FRAMES.iter().filter(allowed) {
            refuses_to_write(V5, frame.from, &frame.with(&[property]), error);
        }
    }
}

#[test]
fn authentication_data_or_an_auth_without_a_method_is_refused() {
    for frame in FRAMES {
        match frame.context {
            PropertyContext::Connect | PropertyContext::Connack => {
                refuses(V5, frame.from, &frame.around(&wire("16 0000")), DecodeError::AuthenticationMethod);
                accepts(V5, frame.from, &frame.around(&wire("16 0000 15 0000")));
            }
            PropertyContext::Auth => {
                for block in ["", "16 0000", "1F 0000", "26 0000 0000"] {
                    refuses(V5, frame.from, &frame.around(&wire(block)), DecodeError::AuthenticationMethod);
                }
            }
            _ => {}
        }
    }
}

#[test]
fn properties_are_equal_by_what_they_hold_not_by_where_it_is() {
    let list = [Property::ServerKeepAlive(30), Property::UserProperty("a", "b")];
    let block = wire("13 001E 26 0001'a'0001'b'");
    let from_wire = Properties::from_block(&block, PropertyContext::Connack).expect("a good block");
    assert_eq!(from_wire, Properties::from(&list));
    assert_eq!(from_wire.as_block(), Some(&block[..]));
    assert_eq!(Properties::from(&list).as_block(), None);
    assert_ne!(from_wire, Properties::new(&list[..1]));
    assert_eq!(Properties::new(&list).reason_string(), None);
    assert_eq!(Properties::from(&[Property::ReasonString("why")]).reason_string(), Some("why"));
}
