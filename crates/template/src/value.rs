//! How Go prints, orders and judges values.

use serde_json::{Map, Value};

/// Fields that are lists in Docker's types: where JSON says `null`, Go prints `[]`.
const LISTS: [&str; 24] = [
    "Entrypoint",
    "Cmd",
    "Env",
    "CapAdd",
    "CapDrop",
    "Binds",
    "Dns",
    "DnsOptions",
    "DnsSearch",
    "ExtraHosts",
    "GroupAdd",
    "Links",
    "SecurityOpt",
    "VolumesFrom",
    "Devices",
    "DeviceRequests",
    "DeviceCgroupRules",
    "Ulimits",
    "Aliases",
    "DNSNames",
    "OnBuild",
    "RepoTags",
    "RepoDigests",
    "ExecIDs",
];

/// Fields that are maps with the user's keys: a missing key is no error there.
const MAPS: [&str; 20] = [
    "Labels",
    "Networks",
    "Ports",
    "Options",
    "Annotations",
    "DriverOpts",
    "Sysctls",
    "Tmpfs",
    "Volumes",
    "ExposedPorts",
    "PortBindings",
    "Config",
    "StorageOpt",
    "Containers",
    "AuxiliaryAddresses",
    "Data",
    "Status",
    "Metadata",
    "Runtimes",
    "IndexConfigs",
];

/// A value on its way through a template, with the name of the field it came from.
#[derive(Debug, Clone)]
pub(super) struct Operand {
    pub(super) value: Value,
    pub(super) field: Option<String>,
}

impl From<Value> for Operand {
    fn from(value: Value) -> Self {
        Self { value, field: None }
    }
}

impl Operand {
    /// Looks a field up, as Go does on Docker's structs: the exact JSON name, else the Go name, which differs
    /// from it in case only (`.ID` for `Id`).
    pub(super) fn get(&self, name: &str) -> Option<Self> {
        let Value::Object(map) = &self.value else {
            return None;
        };
        let found = map.get(name).or_else(|| match self.is_map() {
            true => None,
            false => map
                .iter()
                .find(|(key, _)| key.eq_ignore_ascii_case(name))
                .map(|(_, value)| value),
        });
        match found {
            Some(value) => Some(Self {
                value: value.clone(),
                field: Some(name.to_owned()),
            }),
            None if self.is_map() => Some(Value::Null.into()),
            None => None,
        }
    }

    /// A map with the user's keys, not a struct. `Config` is a map under `LogConfig` only: there all values are texts.
    fn is_map(&self) -> bool {
        let Some(field) = &self.field else {
            return false;
        };
        let Value::Object(map) = &self.value else {
            return false;
        };
        MAPS.contains(&field.as_str()) && (field != "Config" || map.values().all(Value::is_string))
    }

    pub(super) fn print(&self) -> String {
        match (&self.value, &self.field) {
            (Value::Null, Some(field)) if LISTS.contains(&field.as_str()) => "[]".into(),
            (Value::Null, Some(field)) if MAPS.contains(&field.as_str()) => "map[]".into(),
            (value, _) => print(value),
        }
    }
}

/// Go's `%v`.
pub(super) fn print(value: &Value) -> String {
    match value {
        Value::Null => "<no value>".into(),
        other => nested(other),
    }
}

fn nested(value: &Value) -> String {
    match value {
        Value::Null => "<nil>".into(),
        Value::Bool(flag) => flag.to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.clone(),
        Value::Array(list) => format!(
            "[{}]",
            list.iter().map(nested).collect::<Vec<_>>().join(" ")
        ),
        Value::Object(map) => {
            let pairs: Vec<_> = sorted(map)
                .into_iter()
                .map(|(k, v)| format!("{k}:{}", nested(v)))
                .collect();
            format!("map[{}]", pairs.join(" "))
        }
    }
}

/// Go walks maps in the order of their keys.
pub(super) fn sorted(map: &Map<String, Value>) -> Vec<(&String, &Value)> {
    let mut pairs: Vec<_> = map.iter().collect();
    pairs.sort_by(|a, b| a.0.cmp(b.0));
    pairs
}

/// False, 0, nil, and anything of length zero.
pub(super) fn truth(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(flag) => *flag,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(list) => !list.is_empty(),
        Value::Object(map) => !map.is_empty(),
    }
}

/// JSON as Go's encoder writes it: `<`, `>` and `&` as they are (Docker switches HTML escaping off).
pub fn json(value: &Value) -> String {
    serde_json::to_string(value).unwrap_or_default()
}
