//! The file: an embedded database with a table each of messages, exchanges, outcomes and received identifiers.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use redb::{Database, DatabaseError, ReadableDatabase, ReadableTable, StorageError, Table, TableDefinition};

use super::draft::Draft;
use super::options::PersistenceError;
use super::record::{Exchange, Kept, Op, Restored};
use crate::mqtt_client::client::PublishResult;
use crate::mqtt_client::contain::contain;
use crate::mqtt_client::token::Token;
use crate::packet::Packet;
use crate::types::{PacketId, ProtocolVersion, Role};

/// The format that is written, and the last one that is read.
const FORMAT: u32 = 1;
/// Every life has that many tokens to itself, so that no later one uses them again, whatever of them was stored.
const LIFE: u64 = 1 << 43;
/// Memory for pages of the file: the queue is in memory anyway.
const CACHE: usize = 4 * 1024 * 1024;

const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("flowsdk.meta");
const MESSAGES: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("flowsdk.messages");
const EXCHANGES: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("flowsdk.exchanges");
const ENDED: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("flowsdk.ended");
const RECEIVED: TableDefinition<'_, u16, ()> = TableDefinition::new("flowsdk.received");

/// Whose file it is.
#[derive(Clone, Debug)]
pub(in crate::mqtt_client) struct Identity {
    pub(in crate::mqtt_client) client_id: String,
    pub(in crate::mqtt_client) version: ProtocolVersion,
}

/// An open file. Nobody else has it open.
pub(in crate::mqtt_client) struct StoreFile {
    path: PathBuf,
    /// None where it has failed and was not opened again.
    database: Option<Database>,
}

impl StoreFile {
    /// Opens the file, or makes it, and says what it holds.
    pub(in crate::mqtt_client) fn open(path: &Path, identity: &Identity) -> Result<(Self, Restored), PersistenceError> {
        if !fs::exists(path).map_err(|error| PersistenceError::io(path, &error))? {
            make(path, identity)?;
        }
        // What is damaged may do anything to the code that reads it.
        contain(|| check(path, identity)).unwrap_or_else(|text| Err(PersistenceError::unreadable(path, text)))?;
        let database = open(path)?;
        let restored = begin_life(&database, identity).map_err(|error| PersistenceError::of(path, error))?;
        Ok((Self { path: path.to_path_buf(), database: Some(database) }, restored))
    }

    /// Puts changes into the file, all or none.
    pub(super) fn apply(&mut self, ops: &[Op]) -> Result<(), PersistenceError> {
        // After an error the database takes nothing more.
        let database = match self.database.take() {
            Some(database) => database,
            None => open(&self.path)?,
        };
        let applied = contain(|| apply(&database, ops));
        let applied = applied.unwrap_or_else(|text| Err(redb::Error::Corrupted(text)));
        applied.map_err(|error| PersistenceError::of(&self.path, error))?;
        self.database = Some(database);
        Ok(())
    }
}

impl PersistenceError {
    fn io(path: &Path, error: &io::Error) -> Self {
        Self::Io { path: path.to_path_buf(), reason: error.to_string() }
    }

    fn unreadable(path: &Path, reason: impl Into<String>) -> Self {
        Self::Unreadable { path: path.to_path_buf(), reason: reason.into() }
    }

    fn of(path: &Path, error: impl Into<redb::Error>) -> Self {
        match error.into() {
            redb::Error::DatabaseAlreadyOpen => Self::InUse { path: path.to_path_buf() },
            redb::Error::Io(error) if !is_of_contents(error.kind()) => Self::io(path, &error),
            redb::Error::PreviousIo => Self::io(path, &io::Error::other("an earlier error of the disk")),
            error => Self::unreadable(path, error.to_string()),
        }
    }
}

/// Whether it is about what is in the file, and not about the disk.
const fn is_of_contents(kind: io::ErrorKind) -> bool {
    matches!(kind, io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof)
}

/// Makes a file under another name, so that one that is cut off in the making is never taken for the store.
fn make(path: &Path, identity: &Identity) -> Result<(), PersistenceError> {
    let failed = |error: io::Error| PersistenceError::io(path, &error);
    let mut name = path.file_name().ok_or_else(|| failed(io::ErrorKind::InvalidInput.into()))?.to_os_string();
    name.push(".new");
    let draft = path.with_file_name(name);
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&draft).map_err(failed)?;
    lock(path, &file)?;
    file.set_len(0).map_err(failed)?;
    let database = builder().create_file(file).map_err(|error| PersistenceError::of(path, error))?;
    write_identity(&database, identity).map_err(|error| PersistenceError::of(path, error))?;
    // Unlike a renaming it fails where there is a file meanwhile.
    match fs::hard_link(&draft, path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(failed(error)),
        _ => {}
    }
    fs::remove_file(&draft).map_err(failed)?;
    sync_directory(path).map_err(failed)
}

/// The name of a new file has to outlive a power cut, too.
fn sync_directory(path: &Path) -> io::Result<()> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if cfg!(unix) { File::open(directory)?.sync_all() } else { Ok(()) }
}

fn builder() -> redb::Builder {
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE);
    builder
}

fn open(path: &Path) -> Result<Database, PersistenceError> {
    let opened = contain(|| builder().open(path));
    let opened = opened.unwrap_or_else(|text| Err(DatabaseError::Storage(StorageError::Corrupted(text))));
    opened.map_err(|error| PersistenceError::of(path, error))
}

fn write_identity(database: &Database, identity: &Identity) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    {
        let mut meta = transaction.open_table(META)?;
        meta.insert("format", &FORMAT.to_be_bytes()[..])?;
        meta.insert("client_id", identity.client_id.as_bytes())?;
        meta.insert("version", name(identity.version).as_bytes())?;
        meta.insert("last_token", &0_u64.to_be_bytes()[..])?;
        transaction.open_table(MESSAGES)?;
        transaction.open_table(EXCHANGES)?;
        transaction.open_table(ENDED)?;
        transaction.open_table(RECEIVED)?;
    }
    Ok(transaction.commit()?)
}

const fn name(version: ProtocolVersion) -> &'static str {
    if version.is_v5() { "5.0" } else { "3.1.1" }
}

/// Whether the file is whole, and this client's. Nothing is written to it, whatever is found.
fn check(path: &Path, identity: &Identity) -> Result<(), PersistenceError> {
    let failed = |error: io::Error| PersistenceError::io(path, &error);
    let file = OpenOptions::new().read(true).write(true).open(path).map_err(failed)?;
    lock(path, &file)?;
    if file.metadata().map_err(failed)?.len() == 0 {
        return Err(PersistenceError::unreadable(path, "it is empty"));
    }
    let draft = Draft::new(file).map_err(failed)?;
    let mut database = builder().create_with_backend(draft).map_err(|error| PersistenceError::of(path, error))?;
    let of = |error| PersistenceError::of(path, error);
    let (format, client_id, version) = read_identity(&database).map_err(of)?;
    if format > FORMAT {
        return Err(PersistenceError::LaterFormat { path: path.to_path_buf(), format, known: FORMAT });
    }
    if client_id != identity.client_id {
        return Err(PersistenceError::OtherClient { path: path.to_path_buf(), client_id });
    }
    let found = read(&database).map_err(of)?;
    if version != identity.version && found.has_messages() {
        return Err(PersistenceError::OtherVersion { path: path.to_path_buf(), version: name(version) });
    }
    let frames = found.sent.iter().map(|(.., kept)| kept).chain(found.queued.iter().map(|(_, kept)| kept));
    for kept in frames {
        if !matches!(Packet::decode(&kept.frame, identity.version, Role::Client), Ok(Some((Packet::Publish(_), _)))) {
            return Err(PersistenceError::unreadable(path, "a message is no PUBLISH"));
        }
    }
    // It goes back to an earlier state where the last one is damaged.
    database.check_integrity().map_err(|error| PersistenceError::of(path, error))?;
    let is_whole = read(&database).map_err(of)? == found;
    if is_whole { Ok(()) } else { Err(PersistenceError::unreadable(path, "its checksums do not fit")) }
}

fn lock(path: &Path, file: &File) -> Result<(), PersistenceError> {
    match file.try_lock() {
        Ok(()) => Ok(()),
        Err(fs::TryLockError::WouldBlock) => Err(PersistenceError::InUse { path: path.to_path_buf() }),
        // Where files have no locks, it is the caller's to see to that.
        Err(fs::TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => Ok(()),
        Err(fs::TryLockError::Error(error)) => Err(PersistenceError::io(path, &error)),
    }
}

fn read_identity(database: &Database) -> Result<(u32, String, ProtocolVersion), redb::Error> {
    let corrupted = || redb::Error::Corrupted("it is not the store of a client".to_string());
    let meta = database.begin_read()?.open_table(META).map_err(|_| corrupted())?;
    let format = meta.get("format")?.and_then(|bytes| bytes.value().try_into().ok()).ok_or_else(corrupted)?;
    let client_id = meta.get("client_id")?.ok_or_else(corrupted)?;
    let client_id = String::from_utf8(client_id.value().to_vec()).map_err(|_| corrupted())?;
    let version = meta.get("version")?.ok_or_else(corrupted)?;
    let is_v5 = version.value() == name(ProtocolVersion::V5).as_bytes();
    let version = if is_v5 { ProtocolVersion::V5 } else { ProtocolVersion::V3_1_1 };
    Ok((u32::from_be_bytes(format), client_id, version))
}

/// Reads what there is, and takes tokens that no life has had.
fn begin_life(database: &Database, identity: &Identity) -> Result<Restored, redb::Error> {
    let restored = read(database)?;
    let transaction = database.begin_write()?;
    {
        let mut meta = transaction.open_table(META)?;
        // The first life begins at 0.
        let next = (restored.last_token / LIFE + 1) * LIFE;
        meta.insert("last_token", &next.to_be_bytes()[..])?;
        meta.insert("version", name(identity.version).as_bytes())?;
    }
    transaction.commit()?;
    Ok(restored)
}

fn read(database: &Database) -> Result<Restored, redb::Error> {
    let corrupted = |what: &str| redb::Error::Corrupted(what.to_string());
    let transaction = database.begin_read()?;
    let (messages, exchanges) = (transaction.open_table(MESSAGES)?, transaction.open_table(EXCHANGES)?);
    let meta = transaction.open_table(META)?;
    let last_token = meta.get("last_token")?.and_then(|bytes| bytes.value().try_into().ok());
    let last_token = u64::from_be_bytes(last_token.ok_or_else(|| corrupted("no last token"))?);
    let mut restored = Restored { last_token, ..Default::default() };
    let mut released = Vec::new();
    for entry in messages.iter()? {
        let (key, value) = entry?;
        let token = Token(key.value());
        let kept = Kept::from_bytes(value.value()).ok_or_else(|| corrupted("a message"))?;
        restored.next_place = restored.next_place.max(kept.place + 1);
        let Some(exchange) = exchanges.get(token.0)? else {
            restored.queued.push((token, kept));
            continue;
        };
        let exchange = Exchange::from_bytes(exchange.value()).ok_or_else(|| corrupted("an exchange"))?;
        match exchange.released {
            None => restored.sent.push((token, exchange.packet_id, kept)),
            Some(order) => released.push((order, token, exchange.packet_id)),
        }
    }
    released.sort_unstable_by_key(|(order, ..)| *order);
    restored.next_place = restored.next_place.max(released.last().map_or(0, |(order, ..)| *order + 1));
    restored.released = released.into_iter().map(|(_, token, packet_id)| (token, packet_id)).collect();
    restored.queued.sort_by_key(|(_, kept)| kept.place);
    restored.sent.sort_by_key(|(.., kept)| kept.place);
    for entry in transaction.open_table(ENDED)?.iter()? {
        let (key, value) = entry?;
        let result = PublishResult::from_bytes(Token(key.value()), value.value());
        restored.ended.push(result.ok_or_else(|| corrupted("an outcome"))?);
    }
    for entry in transaction.open_table(RECEIVED)?.iter()? {
        let packet_id = PacketId::new(entry?.0.value()).ok_or_else(|| corrupted("packet identifier 0"))?;
        restored.received.push(packet_id);
    }
    Ok(restored)
}

struct Tables<'t> {
    messages: Table<'t, u64, &'static [u8]>,
    exchanges: Table<'t, u64, &'static [u8]>,
    ended: Table<'t, u64, &'static [u8]>,
    received: Table<'t, u16, ()>,
}

fn apply(database: &Database, ops: &[Op]) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    let mut tables = Tables {
        messages: transaction.open_table(MESSAGES)?,
        exchanges: transaction.open_table(EXCHANGES)?,
        ended: transaction.open_table(ENDED)?,
        received: transaction.open_table(RECEIVED)?,
    };
    for op in ops {
        tables.apply(op)?;
    }
    drop(tables);
    Ok(transaction.commit()?)
}

impl Tables<'_> {
    fn apply(&mut self, op: &Op) -> Result<(), StorageError> {
        match op {
            Op::Keep(token, kept) => drop(self.messages.insert(token.0, &kept.to_bytes()[..])?),
            Op::Assign(token, packet_id) => {
                let exchange = Exchange { packet_id: *packet_id, released: None };
                self.exchanges.insert(token.0, &exchange.to_bytes()[..])?;
            }
            Op::Release(token, packet_id, order) => {
                let head = self.messages.get(token.0)?.map(|bytes| Kept::without_frame(bytes.value()));
                self.messages.insert(token.0, &head.unwrap_or_default()[..])?;
                let exchange = Exchange { packet_id: *packet_id, released: Some(*order) };
                self.exchanges.insert(token.0, &exchange.to_bytes()[..])?;
            }
            Op::TakeBack(token) => drop(self.exchanges.remove(token.0)?),
            Op::End(token, result) => {
                self.messages.remove(token.0)?;
                self.exchanges.remove(token.0)?;
                self.ended.insert(token.0, &result[..])?;
            }
            Op::Forget(token) => drop(self.ended.remove(token.0)?),
            Op::Received(packet_id) => drop(self.received.insert(packet_id.value(), ())?),
            Op::Completed(packet_id) => drop(self.received.remove(packet_id.value())?),
            Op::Cleared => self.received.retain(|_, ()| false)?,
        }
        Ok(())
    }
}
