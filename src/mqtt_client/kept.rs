//! Options as a client keeps them.

use std::ops::{Deref, DerefMut};

use zeroize::Zeroize;

use super::options::MqttClientOptions;

/// Options whose user name, which may be a token, is wiped when they are dropped, as is what a URL may say of it.
pub(super) struct Kept(pub(super) MqttClientOptions);

impl Deref for Kept {
    type Target = MqttClientOptions;

    fn deref(&self) -> &MqttClientOptions {
        &self.0
    }
}

impl DerefMut for Kept {
    fn deref_mut(&mut self) -> &mut MqttClientOptions {
        &mut self.0
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.0.username.zeroize();
        self.0.peer.zeroize();
        self.0.connecting.servers.zeroize();
    }
}

impl std::fmt::Debug for Kept {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}
