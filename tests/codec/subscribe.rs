//! SUBSCRIBE and UNSUBSCRIBE: options, filters, lists.

use flowsdk::codec::{DecodeError, EncodeError, Properties};
use flowsdk::packet::{Packet, RetainHandling, Subscribe, Subscription, Subscriptions};
use flowsdk::types::{
    ProtocolVersion,
    ProtocolVersion::{V3_1_1, V5},
    QoS,
    Role::Client,
    TopicError,
};

use super::checks::{VERSIONS, accepts, both_ways, refuses, refuses_to_write};
use super::golden::id;
use super::notation::{packet, prefixed, wire};

fn subscribe<'a>(subscriptions: &'a [Subscription<'a>]) -> Packet<'a> {
    let subscriptions = Subscriptions::new(subscriptions);
    Packet::Subscribe(Subscribe { packet_id: id(1), subscriptions, properties: Properties::EMPTY })
}

/// `[MQTT-3.8.3-5]`
#[test]
fn each_of_the_256_options_of_v5_is_accepted_or_refused_by_its_rule() {
    for options in 0..=u8::MAX {
        let bytes = packet(0x82, &[&wire("0001 00 0001'f'")[..], &[options]].concat());
        if options & 0xC0 != 0 {
            refuses(V5, Client, &bytes, DecodeError::SubscriptionOptions);
        } else if options & 0x30 == 0x30 {
            refuses(V5, Client, &bytes, DecodeError::RetainHandling);
        } else if options & 0x03 == 0x03 {
            refuses(V5, Client, &bytes, DecodeError::SubscriptionQoS);
        } else {
            let handling = [RetainHandling::SendAtSubscribe, RetainHandling::SendIfNew, RetainHandling::DoNotSend];
            let subscription = Subscription {
                filter: "f",
                qos: [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce][usize::from(options & 3)],
                no_local: options & 0x04 != 0,
                retain_as_published: options & 0x08 != 0,
                retain_handling: handling[usize::from(options >> 4)],
            };
            both_ways(V5, Client, &bytes, subscribe(&[subscription]));
        }
    }
    assert_eq!(DecodeError::SubscriptionOptions.reason_code().byte(), 0x81);
    assert_eq!(DecodeError::RetainHandling.reason_code().byte(), 0x82);
    assert_eq!(DecodeError::SubscriptionQoS.reason_code().byte(), 0x82);
}

/// `[MQTT-3.8.3-4/3.1.1]` `[MQTT-3.8.3-5]`
#[test]
fn the_options_of_v3_1_1_are_the_qos_alone() {
    for options in 0..=u8::MAX {
        let bytes = packet(0x82, &[&wire("0001 0001'f'")[..], &[options]].concat());
        match QoS::from_bits(options) {
            Some(qos) => both_ways(V3_1_1, Client, &bytes, subscribe(&[Subscription::new("f", qos)])),
            None => {
                let refused = Packet::decode(&bytes, V3_1_1, Client);
                assert!(refused.is_err(), "{options:#04x} is {refused:?}");
            }
        }
    }
}

/// `[MQTT-3.8.3-4]`
#[test]
fn no_local_on_a_shared_subscription_is_refused_both_ways() {
    refuses(V5, Client, &wire("82 10 0001 00 000A'$share/g/x' 04"), DecodeError::NoLocalOnShared);
    assert_eq!(DecodeError::NoLocalOnShared.reason_code().byte(), 0x82);
    let shared = Subscription { no_local: true, ..Subscription::new("$share/g/x", QoS::AtMostOnce) };
    refuses_to_write(V5, Client, &subscribe(&[shared]), EncodeError::NoLocalOnShared);
    accepts(V5, Client, &wire("82 10 0001 00 000A'$share/g/x' 2A"));
}

/// Filters that no version takes.
const BAD: &[(&str, TopicError)] = &[
    ("", TopicError::Empty),
    ("a#", TopicError::MultiLevelWildcard),
    ("a/#/b", TopicError::MultiLevelWildcard),
    ("#a", TopicError::MultiLevelWildcard),
    ("##", TopicError::MultiLevelWildcard),
    ("#/", TopicError::MultiLevelWildcard),
    ("a+", TopicError::SingleLevelWildcard),
    ("+a/b", TopicError::SingleLevelWildcard),
    ("a/+b", TopicError::SingleLevelWildcard),
    ("++", TopicError::SingleLevelWildcard),
];

/// Shared subscriptions that v5.0 does not take, and v3.1.1 takes as ordinary filters where their wildcards are right.
const BAD_SHARES: &[(&str, TopicError)] = &[
    ("$share/", TopicError::ShareName),
    ("$share//x", TopicError::ShareName),
    ("$share/+/x", TopicError::ShareName),
    ("$share/g", TopicError::ShareFilter),
    ("$share/g/", TopicError::ShareFilter),
];

/// `[MQTT-4.7.1-1]` `[MQTT-4.7.1-2]` `[MQTT-4.8.2-1]` `[MQTT-4.8.2-2]` `[MQTT-4.7.3-1]`
#[test]
fn a_filter_that_is_no_topic_filter_is_refused_first_or_last() {
    for &(filter, error) in BAD.iter().chain(BAD_SHARES) {
        for version in VERSIONS {
            let refused = !BAD_SHARES.contains(&(filter, error)) || version == V5;
            for list in [&[filter][..], &["good", filter], &[filter, "good"]] {
                let bytes = [subscribe_bytes(version, list), unsubscribe_bytes(version, list)];
                for bytes in bytes {
                    if refused {
                        refuses(version, Client, &bytes, DecodeError::TopicFilter(error));
                    } else {
                        accepts(version, Client, &bytes);
                    }
                }
            }
            if refused {
                let list = [Subscription::new("good", QoS::AtMostOnce), Subscription::new(filter, QoS::AtMostOnce)];
                refuses_to_write(version, Client, &subscribe(&list), error.into());
            }
        }
    }
    assert_eq!(DecodeError::TopicFilter(TopicError::Empty).reason_code().byte(), 0x82);
}

fn subscribe_bytes(version: ProtocolVersion, filters: &[&str]) -> Vec<u8> {
    list_bytes(0x82, version, filters, &[0])
}

fn unsubscribe_bytes(version: ProtocolVersion, filters: &[&str]) -> Vec<u8> {
    list_bytes(0xA2, version, filters, &[])
}

fn list_bytes(first_byte: u8, version: ProtocolVersion, filters: &[&str], behind_each: &[u8]) -> Vec<u8> {
    let mut body = wire(if version.is_v5() { "0001 00" } else { "0001" });
    for filter in filters {
        body.extend(prefixed(filter.as_bytes()));
        body.extend(behind_each);
    }
    packet(first_byte, &body)
}

/// `[MQTT-3.8.3-2]` `[MQTT-3.10.3-2]`
#[test]
fn an_empty_list_is_refused() {
    for first_byte in [0x82, 0xA2] {
        refuses(V3_1_1, Client, &packet(first_byte, &wire("0001")), DecodeError::EmptyList);
        refuses(V5, Client, &packet(first_byte, &wire("0001 00")), DecodeError::EmptyList);
        refuses(V5, Client, &packet(first_byte, &wire("0001 07 26 0001'a'0001'b'")), DecodeError::EmptyList);
    }
    assert_eq!(DecodeError::EmptyList.reason_code().byte(), 0x82);
}

#[test]
fn entries_are_read_in_their_order_and_as_often_as_wanted() {
    let bytes = wire("82 10 0001 0003'a/b' 00 0001'c' 01 0001'd' 02");
    let Packet::Subscribe(subscribe) = accepts(V3_1_1, Client, &bytes) else { panic!("a SUBSCRIBE") };
    for _ in 0..2 {
        let filters: Vec<_> = subscribe.subscriptions.iter().map(|entry| (entry.filter, entry.qos.bits())).collect();
        assert_eq!(filters, [("a/b", 0), ("c", 1), ("d", 2)]);
    }
    assert_eq!(subscribe.subscriptions.as_block(), Some(&bytes[4..]));
}
