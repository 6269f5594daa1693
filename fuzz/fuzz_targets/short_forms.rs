//! Any text is a size, a duration, a limit, a device, a host, a policy, or an error; what has a short form
//! prints as what is read as the same.
#![no_main]

use model::device::DeviceMapping;
use model::limits::Ulimit;
use model::network::ExtraHost;
use model::restart::RestartPolicy;
use std::fmt::{Debug, Display};
use std::str::FromStr;

fn again<T: FromStr + Display + PartialEq + Debug>(text: &str) {
    let Ok(value) = text.parse::<T>() else { return };
    let printed = value.to_string();
    match printed.parse::<T>() {
        Ok(second) => assert_eq!(second, value, "{printed}"),
        Err(_) => panic!("{value:?} prints as {printed:?}, which is refused"),
    }
}

libfuzzer_sys::fuzz_target!(|text: &str| {
    again::<Ulimit>(text);
    again::<DeviceMapping>(text);
    again::<ExtraHost>(text);
    again::<RestartPolicy>(text);
    if let Ok(duration) = model::duration::parse(text) {
        let printed = model::duration::format(duration);
        assert_eq!(model::duration::parse(&printed), Ok(duration), "{printed}");
    }
    let _ = model::duration::parse_with_days(text);
    if let Ok(size) = model::size::parse(text) {
        assert_eq!(model::size::parse(&size.to_string()), Ok(size));
    }
    let _ = model::size::parse_or_unlimited(text);
    let _ = model::limits::parse_cpus(text);
    let _ = model::device::parse_gpus(text);
});
