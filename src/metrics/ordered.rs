//! Lists of named things that serialise as an object, in their order.

use serde::ser::{Serialize, SerializeMap, Serializer};

/// Serialises `[(name, value), …]` as `{name: value, …}`; for `#[serde(serialize_with = …)]`.
pub fn as_object<V: Serialize, S: Serializer>(pairs: &[(String, V)], serializer: S) -> Result<S::Ok, S::Error> {
    let mut object = serializer.serialize_map(Some(pairs.len()))?;
    for (name, value) in pairs {
        object.serialize_entry(name, value)?;
    }
    object.end()
}
