//! The resource types of Ceilometer, with their attributes.

use serde_json::json;

/// What an attribute may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Holds {
    /// Text of at most 255 characters.
    Text,
    /// The same; a resource must have it.
    Name,
    /// A UUID.
    Uuid,
    /// The same; a resource must have it.
    Whose,
    /// A moment.
    Time,
}

use Holds::{Name, Text, Time, Uuid, Whose};

/// The types of Ceilometer of July 2026, but for `generic`, which Gnocchi has by itself.
pub(super) const TYPES: &[(&str, &[(&str, Holds)])] = &[
    ("ceph_account", &[]),
    ("dns_zone", &[("email", Text), ("pool_id", Text), ("zone_name", Text), ("zone_type", Text)]),
    ("host", &[("host_name", Name)]),
    ("host_disk", &[("device_name", Text), ("host_name", Name)]),
    ("host_network_interface", &[("device_name", Text), ("host_name", Name)]),
    ("identity", &[]),
    ("image", &[("container_format", Name), ("disk_format", Name), ("name", Name)]),
    (
        "instance",
        &[
            ("availability_zone", Text),
            ("created_at", Time),
            ("deleted_at", Time),
            ("display_name", Name),
            ("flavor_id", Name),
            ("flavor_name", Name),
            ("host", Name),
            ("image_ref", Text),
            ("launched_at", Time),
            ("server_group", Text),
        ],
    ),
    ("instance_disk", &[("instance_id", Whose), ("name", Name)]),
    ("instance_network_interface", &[("instance_id", Whose), ("name", Name)]),
    ("ipmi", &[]),
    ("ipmi_sensor", &[("node", Name)]),
    ("loadbalancer", &[("availability_zone", Text), ("name", Text), ("provider", Text), ("vip_address", Text)]),
    (
        "manila_share",
        &[("availability_zone", Text), ("host", Name), ("name", Text), ("protocol", Text), ("status", Name)],
    ),
    ("network", &[]),
    ("nova_compute", &[("host_name", Name)]),
    ("stack", &[]),
    ("swift_account", &[("storage_policy", Text)]),
    (
        "volume",
        &[
            ("display_name", Text),
            ("image_id", Uuid),
            ("instance_id", Uuid),
            ("volume_type", Text),
            ("volume_type_id", Text),
        ],
    ),
    ("volume_provider", &[]),
    ("volume_provider_pool", &[("provider", Name)]),
    ("volume_service", &[("binary", Text), ("host", Text), ("status", Text), ("zone", Text)]),
];

impl Holds {
    /// By Gnocchi's name of it.
    pub(super) fn kind(self) -> &'static str {
        match self {
            Text | Name => "string",
            Uuid | Whose => "uuid",
            Time => "datetime",
        }
    }

    /// Whether a resource must have it.
    pub(super) fn is_required(self) -> bool {
        matches!(self, Name | Whose)
    }

    /// As Gnocchi's API takes it.
    pub(super) fn schema(self) -> serde_json::Value {
        let mut schema = json!({"type": self.kind(), "required": self.is_required()});
        if self.kind() == "string" {
            (schema["min_length"], schema["max_length"]) = (0.into(), 255.into());
        }
        schema
    }
}

/// What a type of Ceilometer has.
pub(super) fn attributes_of(name: &str) -> &'static [(&'static str, Holds)] {
    TYPES.iter().find(|(known, _)| *known == name).map_or(&[], |(_, attributes)| *attributes)
}
