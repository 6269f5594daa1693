//! Projects as Swarm shows them, on the one host there is: a project is a stack, its services are called `<stack>_<service>`, a
//! container is a task, and the host is the only node. Containers keep Compose's names and labels: both command lines act on the
//! same things. Nothing is stored but what `service update` changed ([`changes`]) and the node's labels ([`node`]).

pub mod changes;
pub mod node;
pub mod stack;
pub mod view;

/// An identifier of Swarm's form (25 characters of base 36), always the same for the same thing.
pub fn id(of: &str) -> String {
    const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
    let digest = oci::Digest::sha256(of.as_bytes());
    let mut number = u128::from_str_radix(&digest.hex()[..32], 16).unwrap_or_default();
    let mut text = String::with_capacity(25);
    for _ in 0..25 {
        let digit = usize::try_from(number % 36).unwrap_or_default();
        text.push(char::from(DIGITS[digit]));
        number /= 36;
    }
    text
}

#[cfg(test)]
mod tests {
    #[test]
    fn an_id_has_swarms_form_and_stays() {
        let id = super::id("vote/redis");
        assert_eq!(id.len(), 25);
        assert!(
            id.bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
        );
        assert_eq!(id, super::id("vote/redis"));
        assert_ne!(id, super::id("vote/db"));
    }
}
