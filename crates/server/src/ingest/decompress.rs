//! Unpacking of bodies, with a bound on what comes out.

use std::borrow::Cow;
use std::io::{self, Read};

use http::StatusCode;

use super::media::Encoding;
use super::problem::Problem;

/// The window a zstd frame may ask for: 8 MiB, what RFC 9659 allows on the web and as much as
/// a body may hold.
const ZSTD_WINDOW_LOG: u32 = 23;

/// Unpacks a body that must not come to more than `limit` bytes.
pub(super) fn decompress(
    encoding: Encoding,
    encoded: &[u8],
    limit: usize,
) -> Result<Cow<'_, [u8]>, Problem> {
    let unpacked = match encoding {
        Encoding::Identity => return Ok(Cow::Borrowed(encoded)),
        // A gzip body may have several members, each of which counts.
        Encoding::Gzip => read_at_most(flate2::bufread::MultiGzDecoder::new(encoded), limit),
        Encoding::Zstd => zstd_frames(encoded).and_then(|frames| read_at_most(frames, limit)),
    };
    match unpacked {
        Ok(bytes) if bytes.len() <= limit => Ok(Cow::Owned(bytes)),
        Ok(_) => Err(too_large(limit)),
        Err(error) if wants_larger_window(&error) => Err(too_large(limit)),
        Err(_) => {
            let name = if encoding == Encoding::Gzip { "gzip" } else { "zstd" };
            let detail = format!("the body is not whole or not {name}");
            Err(Problem::new(StatusCode::BAD_REQUEST, "bad_encoding", detail))
        }
    }
}

/// Up to one byte more than the limit, by which the caller knows that it was passed.
fn read_at_most(from: impl Read, limit: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(limit as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn zstd_frames(encoded: &[u8]) -> io::Result<zstd::Decoder<'static, &[u8]>> {
    let mut frames = zstd::Decoder::with_buffer(encoded)?;
    frames.window_log_max(ZSTD_WINDOW_LOG)?;
    Ok(frames)
}

/// The library has no code of its own for it.
fn wants_larger_window(error: &io::Error) -> bool {
    error.to_string().contains("too much memory")
}

fn too_large(limit: usize) -> Problem {
    let detail = format!("the body unpacks to more than {limit} bytes");
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "decoded_too_large", detail)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    const LIMIT: usize = 1 << 20;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packer.write_all(bytes).unwrap();
        packer.finish().unwrap()
    }

    fn zstd(bytes: &[u8]) -> Vec<u8> {
        zstd::encode_all(bytes, 3).unwrap()
    }

    fn code(encoding: Encoding, bytes: &[u8]) -> Result<usize, &'static str> {
        decompress(encoding, bytes, LIMIT).map(|b| b.len()).map_err(|problem| problem.code())
    }

    #[test]
    fn the_limit_is_on_what_comes_out() {
        let (full, over) = (vec![b' '; LIMIT], vec![b' '; LIMIT + 1]);
        for (encoding, pack) in
            [(Encoding::Gzip, gzip as fn(&[u8]) -> Vec<u8>), (Encoding::Zstd, zstd)]
        {
            assert_eq!(code(encoding, &pack(&full)), Ok(LIMIT));
            assert_eq!(code(encoding, &pack(&over)), Err("decoded_too_large"));
            // Several members or frames count together.
            let two = [pack(&full[..LIMIT / 2]), pack(&full[..LIMIT / 2])].concat();
            assert_eq!(code(encoding, &two), Ok(LIMIT));
            let three = [two, pack(b"x")].concat();
            assert_eq!(code(encoding, &three), Err("decoded_too_large"));
        }
    }

    #[test]
    fn what_is_cut_damaged_or_followed_by_junk_is_refused() {
        let text = b"some text that is long enough to be packed at all, long enough";
        for (encoding, packed) in [(Encoding::Gzip, gzip(text)), (Encoding::Zstd, zstd(text))] {
            assert_eq!(code(encoding, &packed), Ok(text.len()));
            for cut in 1..packed.len() {
                assert_eq!(code(encoding, &packed[..cut]), Err("bad_encoding"), "cut at {cut}");
            }
            let junk = [packed.as_slice(), b"junk"].concat();
            assert_eq!(code(encoding, &junk), Err("bad_encoding"));
            assert_eq!(code(encoding, text), Err("bad_encoding"));
        }
        let mut wrong_sum = gzip(text);
        let at = wrong_sum.len() - 8;
        wrong_sum[at] ^= 1;
        assert_eq!(code(Encoding::Gzip, &wrong_sum), Err("bad_encoding"));
    }

    #[test]
    fn a_frame_that_asks_for_a_huge_window_gets_none() {
        let mut packer = zstd::Encoder::new(Vec::new(), 3).unwrap();
        packer.window_log(27).unwrap();
        packer.write_all(b"small").unwrap();
        assert_eq!(code(Encoding::Zstd, &packer.finish().unwrap()), Err("decoded_too_large"));
    }
}
