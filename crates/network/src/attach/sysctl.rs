//! Sysctls of one endpoint's interface: `com.docker.network.endpoint.sysctls=net.ipv4.conf.IFNAME.log_martians=1,…`.
//!
//! They are written from outside, so that a container without CAP_NET_ADMIN has them; only what belongs to the interface can be
//! named.
//!
//! Source: Docker docs, "bridge network driver", per-endpoint sysctls; kernel `Documentation/networking/ip-sysctl.rst`.

use crate::bridge::rewrite;
use std::collections::BTreeMap;
use std::io;
use std::os::fd::BorrowedFd;
use sys::netlink::in_netns;

const OPTION: &str = "com.docker.network.endpoint.sysctls";
const PLACEHOLDER: &str = "IFNAME";

/// A file below /proc/sys and what goes in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Setting {
    path: String,
    value: String,
}

/// On an error the setting that is wrong, and why.
pub(super) fn parse(
    options: &BTreeMap<String, String>,
    interface: &str,
) -> Result<Vec<Setting>, (String, &'static str)> {
    let given = options.get(OPTION).map_or("", String::as_str);
    let settings = given
        .split(',')
        .map(str::trim)
        .filter(|text| !text.is_empty());
    settings
        .map(|text| setting(text, interface).map_err(|cause| (text.to_owned(), cause)))
        .collect()
}

fn setting(text: &str, interface: &str) -> Result<Setting, &'static str> {
    const FORM: &str = "write it as net.FAMILY.PART.IFNAME.NAME=VALUE, with the word IFNAME in place of the interface";
    let (key, value) = text.split_once('=').ok_or(FORM)?;
    let words: Vec<&str> = key.split('.').collect();
    let [net, family, part, placeholder, name] = words[..] else {
        return Err(FORM);
    };
    let plain = |word: &str| {
        !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
    };
    if net != "net" || placeholder != PLACEHOLDER || ![family, part, name].into_iter().all(plain) {
        return Err(FORM);
    }
    Ok(Setting {
        path: format!("net/{family}/{part}/{interface}/{name}"),
        value: value.to_owned(),
    })
}

/// On an error the file that could not be written.
pub(super) fn write(
    netns: BorrowedFd<'_>,
    settings: &[&Setting],
) -> Result<(), (String, io::Error)> {
    let all = || {
        settings.iter().try_for_each(|setting| {
            rewrite(&setting.path, &setting.value)
                .map_err(|source| (setting.path.replace('/', "."), source))
        })
    };
    in_netns(netns, all).map_err(|source| (OPTION.into(), source))?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Vec<Setting>, (String, &'static str)> {
        parse(&[(OPTION.to_owned(), text.to_owned())].into(), "eth3.1")
    }

    #[test]
    fn settings_of_the_interface_are_files_of_its_own() {
        let settings =
            parsed("net.ipv4.conf.IFNAME.log_martians=1, net.ipv6.neigh.IFNAME.gc_stale_time=9")
                .unwrap();
        let paths: Vec<&str> = settings.iter().map(|s| s.path.as_str()).collect();
        assert_eq!(
            paths,
            [
                "net/ipv4/conf/eth3.1/log_martians",
                "net/ipv6/neigh/eth3.1/gc_stale_time"
            ]
        );
        assert_eq!(settings[1].value, "9");
        assert!(parse(&BTreeMap::new(), "eth0").unwrap().is_empty());
    }

    #[test]
    fn what_is_not_the_interface_s_is_refused() {
        for wrong in [
            "net.ipv4.conf.IFNAME.forwarding",
            "net.ipv4.ip_forward=1",
            "net.ipv4.conf.all.forwarding=1",
            "kernel.x.conf.IFNAME.y=1",
            "net.ipv4.conf.IFNAME.../../../kernel/core_pattern=x",
            "net.ipv4.conf/x.IFNAME.a=1",
        ] {
            assert_eq!(parsed(wrong).unwrap_err().0, wrong);
        }
    }
}
