use std::sync::Arc;

use super::file::{Identity, StoreFile};
use super::journal::Journal;
use super::record::Restored;
use crate::mqtt_client::connection::Connection;
use crate::mqtt_client::error::ClientError;
use crate::mqtt_client::options::MqttClientOptions;
use crate::mqtt_client::persistence::InboundStorage;
use crate::mqtt_client::shared::Shared;
use crate::mqtt_client::token::Token;

/// An open file, and what it holds.
pub(in crate::mqtt_client) struct Stored {
    file: StoreFile,
    restored: Restored,
    inbound: InboundStorage,
}

/// Opens the file of the options, if they name one.
pub(in crate::mqtt_client) fn open(options: &MqttClientOptions) -> Result<Option<Stored>, ClientError> {
    let Some(persistence) = &options.persistence else { return Ok(None) };
    let identity = Identity { client_id: options.client_id.clone(), version: options.protocol.version };
    let (file, restored) = StoreFile::open(&persistence.path, &identity)?;
    Ok(Some(Stored { file, restored, inbound: persistence.inbound }))
}

/// Lets a new client go on with what a file holds; the tokens of that. `heard_later`: outcomes are taken when somebody
/// likes.
pub(in crate::mqtt_client) fn resume(
    stored: Stored,
    connection: &mut Connection,
    shared: &Arc<Shared>,
    heard_later: bool,
) -> Result<Vec<Token>, ClientError> {
    let Stored { file, restored, inbound } = stored;
    let tokens = restored.tokens();
    shared.set_last_token(restored.last_token);
    let journal = Journal::start(file, &restored, inbound, shared, heard_later)?;
    connection.keep(journal, restored);
    Ok(tokens)
}
