//! Files that cannot be used.

use std::fs;
use std::path::Path;

use flowsdk::mqtt_client::{
    AsyncClientConfig, AsyncMqttClient, ClientError, InboundStorage::AckAfter, MqttClientOptions, Persistence,
    PersistenceError,
};
use redb::{Database, TableDefinition};

use crate::persistence_setup::{Directory, Lives, durable};
use crate::recorder::Recorder;
use crate::scripted_setup::{Scene, V3_1_1, V5};

fn options(path: &Path) -> MqttClientOptions {
    MqttClientOptions { persistence: Some(Persistence::new(path)), ..Scene::keeping_session(V5).options }
}

fn refused(options: MqttClientOptions) -> PersistenceError {
    let (recorder, _log) = Recorder::new();
    match AsyncMqttClient::new(options, recorder, AsyncClientConfig::default()).map(|_| ()) {
        Err(ClientError::Persistence(error)) => error,
        other => panic!("{other:?}"),
    }
}

/// The file is refused, and stays as it is.
fn refused_as_it_is(options: MqttClientOptions) -> PersistenceError {
    let path = options.persistence.clone().unwrap().path;
    let before = fs::read(&path).unwrap();
    let error = refused(options);
    assert!(fs::read(&path).unwrap() == before, "the file has changed");
    error
}

/// A file with messages in it that was closed in order, and how many.
fn filled() -> (Lives, usize) {
    let lives = Lives::new(V5, AckAfter);
    let (client, log) = lives.scene.client();
    let tokens: Vec<_> = (0..40).map(|_| client.publish("t", &[b'x'; 500], 1, false).unwrap()).collect();
    durable(&log, &tokens);
    client.shutdown().unwrap();
    (lives, tokens.len())
}

#[test]
fn what_is_no_store_is_refused_and_left_alone() {
    let directory = Directory::new();
    let path = directory.file("store");
    for foreign in [&b""[..], b"x", &[0; 100_000], "my diary ".repeat(5000).as_bytes()] {
        fs::write(&path, foreign).unwrap();
        let error = refused_as_it_is(options(&path));
        assert!(matches!(&error, PersistenceError::Unreadable { path: named, .. } if *named == path), "{error:?}");
    }
    // A database of somebody else.
    fs::remove_file(&path).unwrap();
    let table: TableDefinition<'_, u64, u64> = TableDefinition::new("theirs");
    let theirs = Database::create(&path).unwrap();
    let transaction = theirs.begin_write().unwrap();
    transaction.open_table(table).unwrap().insert(1, 2).unwrap();
    transaction.commit().unwrap();
    drop(theirs);
    assert!(matches!(refused_as_it_is(options(&path)), PersistenceError::Unreadable { .. }));
}

#[test]
fn a_file_that_is_cut_off_is_refused_and_left_alone() {
    let (lives, _) = filled();
    let whole = fs::read(lives.path()).unwrap();
    for len in [1, 100, 5000, whole.len() / 2] {
        fs::write(lives.path(), &whole[..len]).unwrap();
        let error = refused_as_it_is(lives.scene.options.clone());
        assert!(matches!(error, PersistenceError::Unreadable { .. }), "{error:?} for {len} bytes");
    }
}

#[test]
fn a_file_with_a_wrong_byte_is_refused_and_left_alone_unless_nothing_is_kept_there() {
    let (lives, count) = filled();
    let whole = fs::read(lives.path()).unwrap();
    // Most of the file is empty, and some of the rest is no longer used.
    let written: Vec<_> = (0..whole.len()).filter(|at| whole[*at] != 0).collect();
    let mut damaged = 0;
    for at in written.iter().copied().step_by(written.len() / 60) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x55;
        fs::write(lives.path(), &bytes).unwrap();
        let (recorder, _log) = Recorder::new();
        match AsyncMqttClient::new(lives.scene.options.clone(), recorder, AsyncClientConfig::default()) {
            Ok(client) => {
                assert_eq!(client.restored().len(), count, "byte {at}");
                client.shutdown().unwrap();
            }
            Err(ClientError::Persistence(PersistenceError::Unreadable { .. })) => {
                damaged += 1;
                assert!(fs::read(lives.path()).unwrap() == bytes, "byte {at}: the file has changed");
            }
            Err(error) => panic!("byte {at}: {error:?}"),
        }
    }
    assert!(damaged > 0);
}

#[test]
fn a_file_is_for_one_client_at_a_time() {
    let directory = Directory::new();
    let path = directory.file("store");
    let (recorder, _log) = Recorder::new();
    let client = AsyncMqttClient::new(options(&path), recorder, AsyncClientConfig::default()).unwrap();
    assert_eq!(refused(options(&path)), PersistenceError::InUse { path: path.clone() });
    client.shutdown().unwrap();
    let (recorder, _log) = Recorder::new();
    AsyncMqttClient::new(options(&path), recorder, AsyncClientConfig::default()).unwrap();
}

#[test]
fn a_file_belongs_to_one_client_identifier_and_its_messages_to_one_version() {
    let (lives, _) = filled();
    let mut options = lives.scene.options.clone();
    options.client_id = "somebody else".to_string();
    let error = refused_as_it_is(options);
    assert_eq!(error, PersistenceError::OtherClient { path: lives.path(), client_id: "c".to_string() });
    let mut options = lives.scene.options.clone();
    options.protocol = Scene::keeping_session(V3_1_1).options.protocol;
    let error = refused_as_it_is(options);
    assert_eq!(error, PersistenceError::OtherVersion { path: lives.path(), version: "5.0" });

    // Without messages it does not matter.
    let mut lives = Lives::new(V5, AckAfter);
    lives.scene.client().0.shutdown().unwrap();
    lives.scene.options.protocol = Scene::keeping_session(V3_1_1).options.protocol;
    lives.scene.client().0.shutdown().unwrap();
}

#[test]
fn a_file_of_a_later_format_is_refused_and_left_alone() {
    let (lives, _) = filled();
    let table: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("flowsdk.meta");
    let database = Database::open(lives.path()).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction.open_table(table).unwrap().insert("format", &2_u32.to_be_bytes()[..]).unwrap();
    transaction.commit().unwrap();
    drop(database);
    let error = refused_as_it_is(lives.scene.options.clone());
    assert_eq!(error, PersistenceError::LaterFormat { path: lives.path(), format: 2, known: 1 });
}

#[test]
fn a_file_that_cannot_be_made_is_told_and_one_that_was_cut_off_in_the_making_is_made_anew() {
    let directory = Directory::new();
    let missing = directory.file("missing").join("store");
    assert!(matches!(refused(options(&missing)), PersistenceError::Io { path, .. } if path == missing));
    assert!(!directory.file("missing").exists());
    fs::write(directory.file("store.new"), b"half a file").unwrap();
    let (recorder, _log) = Recorder::new();
    let path = directory.file("store");
    let client = AsyncMqttClient::new(options(&path), recorder, AsyncClientConfig::default()).unwrap();
    client.shutdown().unwrap();
    assert!(path.exists() && !directory.file("store.new").exists());
}

#[test]
fn options_that_would_lose_the_session_are_refused() {
    let directory = Directory::new();
    let with = |change: &dyn Fn(&mut MqttClientOptions, &mut AsyncClientConfig)| {
        let (mut options, mut config) = (options(&directory.file("store")), AsyncClientConfig::default());
        change(&mut options, &mut config);
        match AsyncMqttClient::new(options, Recorder::new().0, config).map(|_| ()) {
            Err(ClientError::InvalidOption { option, .. }) => option,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(with(&|options, _| options.client_id.clear()), "client_id");
    assert_eq!(with(&|options, _| options.clean_start = true), "clean_start");
    assert_eq!(with(&|options, _| options.sessionless = true), "sessionless");
    assert_eq!(with(&|_, config| config.buffer_messages = false), "buffer_messages");
    let option = with(&|options, _| options.protocol.session_expiry_interval = 0);
    assert_eq!(option, "protocol.session_expiry_interval");
    assert!(!directory.file("store").exists());
}

#[test]
fn the_file_does_not_grow_with_what_has_passed_through_it() {
    let mut lives = Lives::new(V5, AckAfter);
    lives.scene.config.max_buffer_size = 20;
    let (client, log) = lives.scene.client();
    let mut sizes = Vec::new();
    for _ in 0..8 {
        // 200 messages of 4 KiB, of which 20 stay.
        let tokens: Vec<_> = (0..200)
            .map(|_| {
                let options = flowsdk::mqtt_client::PublishOptions { qos: 1, ..Default::default() };
                client.publish_wait("t", &[b'x'; 4096], &options, crate::support::PATIENCE).unwrap()
            })
            .collect();
        durable(&log, &tokens[180..]);
        sizes.push(fs::metadata(lives.path()).unwrap().len());
    }
    assert!(sizes[7] <= 2 * sizes[1].max(1 << 20), "{sizes:?}");
    client.shutdown().unwrap();
    assert_eq!(lives.scene.client().0.restored().len(), 20);
}
