//! Topic names, topic filters, and which match.

use flowsdk::types::{TopicError, TopicFilter, TopicName};

/// `[MQTT-4.7.3-1]` `[MQTT-4.7.3-2]` `[MQTT-4.7.0-1]` `[MQTT-3.3.2-2]`
#[test]
fn a_topic_name_is_any_string_without_wildcards_and_nul() {
    for good in ["a", "/", "//", " ", "a b", "/a", "a/", "$SYS/x", "$share/g/x", "ä/語/😀", "\u{FEFF}a", "a\u{1}b"]
    {
        assert_eq!(TopicName::new(good).map(TopicName::as_str), Ok(good));
    }
    for (bad, error) in [
        ("", TopicError::Empty),
        ("+", TopicError::WildcardInName),
        ("#", TopicError::WildcardInName),
        ("a/+/b", TopicError::WildcardInName),
        ("a/#", TopicError::WildcardInName),
        ("a+b", TopicError::WildcardInName),
        ("\0", TopicError::Nul),
        ("a\0b", TopicError::Nul),
    ] {
        assert_eq!(TopicName::new(bad), Err(error), "{bad:?}");
    }
}

#[test]
fn a_topic_name_compares_and_shows_as_its_string() {
    let name = TopicName::new("ä/語").expect("a topic name");
    assert!(name == "ä/語" && name == *"ä/語" && name != "ä" && name != "ä/誟");
    assert_eq!((name.as_bytes(), name.as_ref()), ("ä/語".as_bytes(), "ä/語"));
    assert_eq!(format!("{name} {name:>5} {name:?}"), r#"ä/語   ä/語 TopicName("ä/語")"#);
}

/// `[MQTT-4.7.3-3]`
#[test]
fn names_and_filters_have_at_most_65535_bytes() {
    for unit in ["x", "ä", "/"] {
        let text = unit.repeat(65_536);
        let longest = &text[..65_535 / unit.len() * unit.len()];
        assert!(TopicName::new(longest).is_ok() && TopicFilter::new(longest).is_ok());
        let longer = &text[..65_536];
        assert_eq!(TopicName::new(longer), Err(TopicError::TooLong));
        assert_eq!(TopicFilter::new(longer), Err(TopicError::TooLong));
        assert_eq!(TopicFilter::plain(longer), Err(TopicError::TooLong));
    }
}

/// `[MQTT-4.7.1-1]` `[MQTT-4.7.1-2]` `[MQTT-4.7.3-1]` `[MQTT-4.7.3-2]` `[MQTT-4.8.2-1]` `[MQTT-4.8.2-2]`
#[test]
fn a_filter_has_its_wildcards_in_levels_of_their_own() {
    for good in [
        "#",
        "+",
        "/",
        "//",
        "a",
        "a/#",
        "/#",
        "+/#",
        "+/a",
        "a/+",
        "a/+/b",
        "+/+",
        "/+",
        "+/",
        "$SYS/#",
        "$SYS/+/x",
        "$",
        "$share",
        "$shared/+",
        "share/+/x",
        "$share/g/a",
        "$share/g/#",
        "$share/g/+",
        "$share/g/a/#",
        "$share/g//",
        "$share/ä/x",
        "$share/$x/$share/y",
    ] {
        assert_eq!(TopicFilter::new(good).map(TopicFilter::as_str), Ok(good));
    }
    for (bad, error) in [
        ("", TopicError::Empty),
        ("\0", TopicError::Nul),
        ("a/\0", TopicError::Nul),
        ("a#", TopicError::MultiLevelWildcard),
        ("#a", TopicError::MultiLevelWildcard),
        ("##", TopicError::MultiLevelWildcard),
        ("a/#/b", TopicError::MultiLevelWildcard),
        ("#/", TopicError::MultiLevelWildcard),
        ("#/#", TopicError::MultiLevelWildcard),
        ("a+", TopicError::SingleLevelWildcard),
        ("+a", TopicError::SingleLevelWildcard),
        ("+a/b", TopicError::SingleLevelWildcard),
        ("a/b+/c", TopicError::SingleLevelWildcard),
        ("++", TopicError::SingleLevelWildcard),
        ("$share/", TopicError::ShareName),
        ("$share//x", TopicError::ShareName),
        ("$share/+/x", TopicError::ShareName),
        ("$share/#", TopicError::ShareName),
        ("$share/a#/x", TopicError::MultiLevelWildcard),
        ("$share/a+/x", TopicError::SingleLevelWildcard),
        ("$share/g", TopicError::ShareFilter),
        ("$share/g/", TopicError::ShareFilter),
        ("$share/g/a#", TopicError::MultiLevelWildcard),
    ] {
        assert_eq!(TopicFilter::new(bad), Err(error), "{bad:?}");
    }
}

#[test]
fn a_filter_of_v3_1_1_knows_no_shared_subscriptions() {
    for good in ["$share/", "$share//x", "$share/+/x", "$share/#", "$share/g", "$share/g/"] {
        assert_eq!(TopicFilter::plain(good).map(TopicFilter::as_str), Ok(good));
    }
    assert_eq!(TopicFilter::plain("$share/a#/x"), Err(TopicError::MultiLevelWildcard));
}

#[test]
fn a_shared_subscription_is_known_by_its_start() {
    for (filter, shared) in [("$share/g/x", true), ("$share", false), ("$shared/g/x", false), ("a/$share/x", false)] {
        assert_eq!(TopicFilter::new(filter).map(TopicFilter::is_shared), Ok(shared), "{filter}");
    }
}

/// `[MQTT-4.7.2-1]` `[MQTT-4.7.3-4]` `[MQTT-4.7.1-1]` `[MQTT-4.7.1-2]`
#[test]
fn a_filter_matches_level_by_level() {
    for (filter, matching, others) in [
        // The examples of section 4.7.
        (
            "sport/tennis/player1/#",
            &["sport/tennis/player1", "sport/tennis/player1/ranking", "sport/tennis/player1/score/wimbledon"][..],
            &["sport/tennis/player10", "sport/tennis", "sport/tennis/player2/ranking"][..],
        ),
        ("sport/#", &["sport", "sport/", "sport/a/b", "sport//"], &["sports", "Sport", "/sport"]),
        (
            "sport/tennis/+",
            &["sport/tennis/player1", "sport/tennis/"],
            &["sport/tennis/player1/ranking", "sport/tennis"],
        ),
        ("sport/+", &["sport/", "sport/x"], &["sport", "sport/x/y"]),
        ("+/+", &["/finance", "a/b", "/"], &["finance", "a/b/c", "//"]),
        ("/+", &["/finance", "/"], &["finance", "/a/b"]),
        ("+", &["finance", " "], &["/finance", "a/", "$SYS"]),
        ("#", &["a", "/", "a/b/c", "//"], &["$SYS", "$SYS/x", "$"]),
        ("+/monitor/Clients", &["x/monitor/Clients", "/monitor/Clients"], &["$SYS/monitor/Clients"]),
        ("$SYS/#", &["$SYS", "$SYS/", "$SYS/monitor/Clients"], &["SYS", "$SYSTEM", "a"]),
        ("$SYS/monitor/+", &["$SYS/monitor/Clients"], &["$SYS/monitor", "$SYS/monitor/a/b"]),
        // A `$` further on is a character as any other.
        ("a/#", &["a/$SYS", "a/$"], &["$a"]),
        ("a/+/b", &["a//b", "a/x/b", "a/$x/b"], &["a/b", "a/x/y/b"]),
        ("+/+/b/#", &["a/b/b", "//b", "a/x/b/c/d"], &["a/b", "b/b"]),
        // Empty levels count; case and composition too.
        ("a", &["a"], &["a/", "/a", "A", "a/b", "b"]),
        ("a/", &["a/"], &["a", "a//", "a/b"]),
        ("/", &["/"], &["//", "a", "a/"]),
        ("a//b", &["a//b"], &["a/b", "a/x/b"]),
        ("\u{E9}", &["\u{E9}"], &["e\u{301}", "\u{C9}"]),
        ("e\u{301}", &["e\u{301}"], &["\u{E9}", "e"]),
        ("A B", &["A B"], &["AB", "a b", "A B "]),
        // Of a shared subscription the filter behind its name counts.
        ("$share/g/sport/+", &["sport/x"], &["$share/g/sport/x", "sport", "g/sport/x"]),
        ("$share/g/#", &["a", "a/b"], &["$SYS/x", "$share/g/a"]),
        ("$share/g/+/x", &["a/x"], &["$SYS/x"]),
        ("$share/g//", &["/"], &["a", "//"]),
        ("$share/g/$SYS/#", &["$SYS/x", "$SYS"], &["a"]),
        ("$shared/g", &["$shared/g"], &["g"]),
    ] {
        let checked = TopicFilter::new(filter).expect(filter);
        for (topics, expected) in [(matching, true), (others, false)] {
            for topic in topics {
                let name = TopicName::new(topic).expect(topic);
                assert_eq!(checked.matches(name), expected, "{filter} and {topic}");
            }
        }
    }
}
