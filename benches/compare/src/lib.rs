//! What the drivers and the runner share: the plan of a round, the measuring, and the bytes on the wire.

pub mod meter;
pub mod plan;
pub mod wire;

/// An error of a driver: it ends the round, and with it the row.
pub type Error = Box<dyn std::error::Error + Send + Sync>;

/// The runtime of the asynchronous peers.
///
/// # Errors
/// Where it cannot be built.
pub fn runtime() -> Result<tokio::runtime::Runtime, Error> {
    let mut builder = match std::env::var("COMPARE_TOKIO").as_deref() {
        Ok("multi") => tokio::runtime::Builder::new_multi_thread(),
        _ => tokio::runtime::Builder::new_current_thread(),
    };
    Ok(builder.enable_all().build()?)
}
