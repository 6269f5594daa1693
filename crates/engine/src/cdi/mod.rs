//! Devices by name: the Container Device Interface, and `--gpus` in its terms.
//!
//! Vendors describe in files what a container needs for a device (nodes, mounts, variables, hooks); a request names devices
//! as `vendor.com/class=name`. The files are read at every start that asks for one, as in Docker, and never otherwise.
//! Source: CDI specification `SPEC.md` (cncf-tags/container-device-interface), Docker CLI reference (`--device`, `--gpus`).

mod document;
mod edits;
mod library;

pub use edits::Edits;
pub use library::SPEC_DIRS;

use crate::error::{Error, Result};
use library::Library;
use model::device::{CDI_DRIVER, CdiName, DeviceRequest};
use std::path::PathBuf;

/// What the requests of a container come to.
pub fn resolve(dirs: &[PathBuf], requests: &[DeviceRequest]) -> Result<Edits> {
    if requests.is_empty() {
        return Ok(Edits::default());
    }
    let library = Library::read(dirs);
    let mut names = Vec::new();
    for request in requests {
        names.extend(names_of(request, &library)?);
    }
    library.edits(&names)
}

/// The full names of all devices there are.
pub fn devices(dirs: &[PathBuf]) -> Vec<String> {
    Library::read(dirs).names()
}

/// Vendors of GPUs whose devices are numbered from 0 and together called `all`.
const GPU_VENDORS: [(&str, &str); 2] = [("nvidia", "nvidia.com"), ("amd", "amd.com")];

/// The devices of one request by their CDI names.
fn names_of(request: &DeviceRequest, library: &Library) -> Result<Vec<String>> {
    if request.driver == CDI_DRIVER {
        return Ok(request.device_ids.clone());
    }
    let wants_gpu = request.capabilities.iter().flatten().any(|c| c == "gpu");
    let mut vendors = GPU_VENDORS
        .iter()
        .filter(|(driver, _)| match request.driver.as_str() {
            "" => wants_gpu,
            asked => asked == *driver,
        });
    let first = vendors
        .clone()
        .next()
        .ok_or_else(|| no_driver(request, "known drivers are nvidia, amd and cdi"))?;
    let vendor = vendors
        .find(|(_, vendor)| library.has_kind(vendor, "gpu"))
        .map(|(_, vendor)| *vendor)
        .ok_or_else(|| no_driver(request, &missing_spec(first, library)))?;
    let name = |id: &str| match CdiName::parse(id) {
        Some(_) => id.to_owned(),
        None => format!("{vendor}/gpu={id}"),
    };
    if !request.device_ids.is_empty() {
        return Ok(request.device_ids.iter().map(|id| name(id)).collect());
    }
    let available = library.devices_of(vendor, "gpu");
    if request.count < 0 {
        return Ok(match available.iter().any(|device| device == "all") {
            true => vec![name("all")],
            false => available.iter().map(|device| name(device)).collect(),
        });
    }
    // A bounded number: a request for a billion GPUs is answered by the first that is not there.
    let numbers = (0..request.count).take(available.len() + 1);
    Ok(numbers.map(|number| name(&number.to_string())).collect())
}

fn no_driver(request: &DeviceRequest, cause: &str) -> Error {
    let sets: Vec<String> = request
        .capabilities
        .iter()
        .map(|set| format!("[{}]", set.join(" ")))
        .collect();
    Error::invalid(
        format!(
            "could not select device driver {:?} with capabilities: [{}]",
            request.driver,
            sets.join(" ")
        ),
        cause,
    )
}

fn missing_spec((driver, vendor): &(&str, &str), library: &Library) -> String {
    let file = format!("/etc/cdi/{driver}.yaml");
    let maker = match *driver {
        "nvidia" => format!("nvidia-ctk cdi generate --output={file}"),
        _ => format!("amd-ctk cdi generate --output={file}"),
    };
    format!(
        "no CDI specification of {vendor}/gpu in {}; make one with `{maker}`{}",
        library.places(),
        library.failures()
    )
}

#[cfg(test)]
mod tests;
