//! Devices, device rules, GPUs.

use super::{Cursor, Decoder};
use crate::project::{Device, Service};
use model::device::{DeviceMapping, DeviceRequest, is_cdi_name, is_permissions};

impl Decoder<'_> {
    pub(super) fn service_devices(&mut self, at: &Cursor<'_>, service: &mut Service) {
        service.devices = self.list(at, "devices", Self::device);
        service.device_cgroup_rules = self.parsed_list(at, "device_cgroup_rules", cgroup_rule);
        service.gpus = self.device_requests(at, "gpus");
    }

    fn device(&mut self, at: &Cursor<'_>) -> Option<Device> {
        let Some(host) = self.filled(at, "source") else {
            self.error_with_hint(at, "a device names no source", "add \"source: /dev/NAME\"");
            return None;
        };
        if is_cdi_name(&host) {
            return Some(Device::Cdi(host));
        }
        let container = self.filled(at, "target").unwrap_or_else(|| host.clone());
        let permissions = self
            .filled(at, "permissions")
            .unwrap_or_else(|| "rwm".into());
        if !is_permissions(&permissions) {
            self.error(
                at,
                format!("invalid device permissions {permissions:?}: some of r, w and m"),
            );
            return None;
        }
        Some(Device::Path(DeviceMapping {
            host,
            container,
            permissions,
        }))
    }

    pub(super) fn device_requests(&mut self, at: &Cursor<'_>, key: &str) -> Vec<DeviceRequest> {
        self.list(at, key, |decoder, item| {
            // `gpus` says what it asks for by its name.
            if key == "devices" && !item.has("capabilities") {
                decoder.error_with_hint(
                    item,
                    "names no capabilities",
                    "add \"capabilities: [gpu]\"",
                );
            }
            Some(decoder.device_request(item))
        })
    }

    fn device_request(&mut self, at: &Cursor<'_>) -> DeviceRequest {
        let device_ids = self.texts(at, "device_ids");
        let count = self.parsed(at, "count", |text| match text {
            "all" => Ok(-1),
            _ => text
                .parse::<i64>()
                .ok()
                .filter(|n| *n >= -1)
                .ok_or_else(|| format!("count is \"all\" or a number, not {text:?}")),
        });
        if count.is_some() && !device_ids.is_empty() {
            self.error_with_hint(
                at,
                "\"count\" and \"device_ids\" attributes are exclusive",
                "keep one of the two",
            );
        }
        let mut capabilities = self.texts(at, "capabilities");
        if capabilities.is_empty() {
            capabilities.push("gpu".into());
        }
        DeviceRequest {
            driver: self.filled(at, "driver").unwrap_or_default(),
            count: count.unwrap_or(if device_ids.is_empty() { -1 } else { 0 }),
            device_ids,
            capabilities: vec![capabilities],
            options: self.table(at, "options"),
        }
    }
}

/// `c 1:3 mr`: a type, major and minor number, access.
fn cgroup_rule(text: &str) -> Result<String, String> {
    let fail = || format!("invalid device cgroup rule {text:?}; write it as \"c 1:3 rwm\"");
    let mut words = text.split_whitespace();
    let (Some(kind), Some(numbers), Some(access), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(fail());
    };
    let number = |n: &str| n == "*" || n.parse::<u32>().is_ok();
    let numbers_ok = numbers
        .split_once(':')
        .is_some_and(|(major, minor)| number(major) && number(minor));
    match matches!(kind, "a" | "b" | "c") && numbers_ok && is_permissions(access) {
        true => Ok(text.to_owned()),
        false => Err(fail()),
    }
}
