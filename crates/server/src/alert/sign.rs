//! The signature of a webhook: who has the secret knows who sent it, when, and that it is whole.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// The header it stands in.
pub const HEADER: &str = "x-qoe-signature";

/// `t=SECONDS,v1=HEX`: HMAC-SHA256 under the secret of the seconds since the Unix epoch, a dot, and the
/// body as it is sent.
pub fn header(secret: &[u8], now_s: i64, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("a key may be of any length");
    mac.update(now_s.to_string().as_bytes());
    mac.update(b".");
    mac.update(body);
    let hex: String =
        mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("t={now_s},v1={hex}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_what_other_programs_compute() {
        // printf '1700000000.{"a":1}' | openssl dgst -sha256 -hmac secret
        assert_eq!(
            header(b"secret", 1_700_000_000, br#"{"a":1}"#),
            "t=1700000000,v1=49f24e537407743fa4a0242bb63b94b9a47ee99cbbe071ccd8a22550ae411686"
        );
    }

    #[test]
    fn time_body_and_secret_all_matter() {
        let one = header(b"secret", 1, b"body");
        for other in [header(b"secret", 2, b"body"), header(b"secre7", 1, b"body")] {
            assert_ne!(one[4..], other[4..]);
        }
        assert_ne!(one, header(b"secret", 1, b"bodies"));
    }
}
