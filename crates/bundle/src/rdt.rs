//! The container's class of cache and memory bandwidth, if its specification asks for one.

use crate::container::Container;
use crate::error::Result;
use oci_spec::runtime::{LinuxIntelRdt, Spec};
use runtime::rdt::Rdt;

fn wanted(spec: &Spec) -> Option<&LinuxIntelRdt> {
    spec.linux().as_ref()?.intel_rdt().as_ref()
}

/// A class that goes again when the creation fails.
#[derive(Debug)]
pub(crate) struct NewClass(Option<Rdt>);

impl NewClass {
    pub(crate) fn make(spec: &Spec, id: &str) -> Result<Self> {
        let made = wanted(spec)
            .map(|wanted| Rdt::make(wanted, id))
            .transpose()?;
        Ok(Self(made))
    }

    /// Before it executes, so that all its children are in it.
    pub(crate) fn add(&self, pid: i32) -> Result<()> {
        match &self.0 {
            Some(class) => Ok(class.add(pid)?),
            None => Ok(()),
        }
    }

    pub(crate) fn keep(mut self) {
        self.0 = None;
    }
}

impl Drop for NewClass {
    fn drop(&mut self) {
        if let Some(class) = self.0.take() {
            let _ = class.remove();
        }
    }
}

/// The class of a container that has one.
pub(crate) fn of(container: &Container) -> Result<Option<Rdt>> {
    if !container.record().has_class {
        return Ok(None);
    }
    let spec = container.spec()?;
    let class = wanted(&spec).map(|wanted| Rdt::open(wanted, container.id()));
    Ok(class.transpose()?)
}
