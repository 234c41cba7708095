//! The paths under which some types are known.

/// Packets of MQTT 5.0.
pub mod mqttv5 {
    /// PUBLISH.
    pub mod publishv5 {
        pub use crate::mqtt_client::MqttPublish;
    }
}
