//! A real broker inside the process: the one of the `mqtt5` crate, v5.0 and v3.1.1 on one port.
#![allow(dead_code, unreachable_pub, reason = "the example and every test binary use their own part of this")]

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::mpsc::{Receiver, channel},
    time::Duration,
};

use mqtt5::broker::{
    BrokerConfig, BrokerShutdownHandle, MqttBroker,
    config::{RateLimitConfig, StorageBackend, StorageConfig},
};
use tokio::runtime::{Builder, Runtime};

/// How long a stop waits for the broker to tell its clients good-bye.
const STOP_LIMIT: Duration = Duration::from_secs(2);

/// A broker on a loopback port, stopped when it is dropped.
///
/// It admits anonymous clients and keeps its sessions and retained messages in memory: they end with it.
pub struct EmbeddedBroker {
    address: SocketAddr,
    shutdown: BrokerShutdownHandle,
    ended: Receiver<()>,
    runtime: Option<Runtime>,
}

impl EmbeddedBroker {
    /// Starts a broker on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// When the port cannot be bound or a thread cannot be started.
    pub fn start() -> io::Result<Self> {
        Self::start_at((Ipv4Addr::LOCALHOST, 0).into())
    }

    /// Starts a broker at `address`, such as the one of a broker that has just been dropped.
    ///
    /// # Errors
    /// When the address cannot be bound or a thread cannot be started.
    pub fn start_at(address: SocketAddr) -> io::Result<Self> {
        Self::start_with(|config| config.with_bind_address(address))
    }

    /// Starts a broker whose settings `configure` has changed, to see a client obey other limits.
    ///
    /// # Errors
    /// When the settings are invalid, the port cannot be bound or a thread cannot be started.
    pub fn start_with(configure: impl FnOnce(BrokerConfig) -> BrokerConfig) -> io::Result<Self> {
        let runtime =
            Builder::new_multi_thread().worker_threads(1).thread_name("embedded-broker").enable_all().build()?;
        let mut broker = runtime.block_on(MqttBroker::with_config(configure(unlimited()))).map_err(io::Error::other)?;
        let address = broker.local_addr().ok_or_else(|| io::Error::other("the broker has no TCP listener"))?;
        let shutdown = broker.shutdown_handle();
        let mut ready = broker.ready_receiver();
        let (at_end, ended) = channel();
        runtime.spawn(async move {
            if let Err(error) = broker.run().await {
                eprintln!("the embedded broker ended: {error}");
            }
            drop(at_end);
        });
        // A shutdown that comes before the broker listens for it would be lost.
        runtime.block_on(ready.wait_for(|ready| *ready)).map_err(io::Error::other)?;
        Ok(Self { address, shutdown, ended, runtime: Some(runtime) })
    }

    /// Where the broker listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for EmbeddedBroker {
    fn drop(&mut self) {
        self.shutdown.shutdown();
        // The channel carries nothing: its other end is dropped when the broker has ended.
        let _ = self.ended.recv_timeout(STOP_LIMIT);
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(STOP_LIMIT);
        }
    }
}

/// The broker's settings with every limit out of the way that would lose a message.
fn unlimited() -> BrokerConfig {
    let mut config = BrokerConfig::new()
        .with_bind_address((Ipv4Addr::LOCALHOST, 0))
        .with_storage(
            StorageConfig::new()
                .with_backend(StorageBackend::Memory)
                .with_max_queued_messages_per_client(usize::MAX)
                .with_max_queued_bytes_per_client(usize::MAX),
        )
        // A message of QoS 0 is dropped when its subscriber's lane is full; the lane allocates as it fills.
        .with_client_channel_capacity(4_000_000)
        // Its periodic messages would reach subscribers of `#`.
        .with_sys_topics_enabled(false);
    config.auth_config.rate_limit = RateLimitConfig { enabled: false, ..RateLimitConfig::default() };
    config
}
