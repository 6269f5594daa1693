//! Any user, passwd and group texts are an identity or an error; the primary group is always among the groups.
#![no_main]

use runtime::UserSpec;

libfuzzer_sys::fuzz_target!(|text: &str| {
    let mut parts = text.splitn(4, '\0');
    let mut next = || parts.next().unwrap_or_default();
    let (user, group, passwd_file, group_file) = (next(), next(), next(), next());
    let spec = UserSpec {
        user: user.to_owned(),
        add_groups: group.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect(),
    };
    if let Ok(identity) = runtime::users::resolve(&spec, passwd_file, group_file) {
        assert_eq!(identity.groups.first(), Some(&identity.gid));
        assert!(!identity.home.is_empty());
    }
});
