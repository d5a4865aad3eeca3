//! The `compression` header of kombu: a sender with `kombu_compression` set packs the body (Ceilometer reference §2.6).

use bytes::Bytes;
use std::io::Read;

/// The header that names the method.
pub const COMPRESSION_HEADER: &str = "compression";
/// The largest body unpacked, in bytes. RabbitMQ's own limit on a message is 128 MiB; a notification has kilobytes.
pub const UNPACKED_BYTES_MAX: usize = 32 << 20;

/// Why a body stays packed. Such a message is parked with this reason.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Packed {
    /// A method that is neither gzip nor bzip2.
    #[error("cannot unpack the body: it is compressed as {0:?}, expected application/x-gzip or application/x-bz2")]
    Unknown(String),
    /// The bytes are not what the header says.
    #[error("cannot unpack the body: it is not {method}: {cause}")]
    Broken {
        /// The method in the header.
        method: String,
        /// What the decoder said.
        cause: String,
    },
    /// It would grow past [`UNPACKED_BYTES_MAX`].
    #[error("cannot unpack the body: it has more than {UNPACKED_BYTES_MAX} bytes")]
    TooLarge,
}

/// A body by its `compression` header: as it came where there is none, unpacked where it can be, else the raw bytes
/// and why.
pub(super) fn unpack(method: Option<&str>, body: Bytes) -> (Bytes, Option<Packed>) {
    let unpacked = match method {
        None | Some("") => return (body, None),
        // kombu says gzip and writes zlib (RFC 1950); believe the bytes.
        Some(method @ ("application/x-gzip" | "gzip" | "zlib")) if body.starts_with(&[0x1f, 0x8b]) => {
            read_bounded(flate2::read::MultiGzDecoder::new(&*body), method)
        }
        Some(method @ ("application/x-gzip" | "gzip" | "zlib")) => {
            read_bounded(flate2::read::ZlibDecoder::new(&*body), method)
        }
        Some(method @ ("application/x-bz2" | "bzip2" | "bzip")) => {
            read_bounded(bzip2::read::BzDecoder::new(&*body), method)
        }
        Some(other) => Err(Packed::Unknown(other.to_owned())),
    };
    match unpacked {
        Ok(unpacked) => (unpacked, None),
        Err(packed) => (body, Some(packed)),
    }
}

fn read_bounded(reader: impl Read, method: &str) -> Result<Bytes, Packed> {
    let mut unpacked = Vec::new();
    let read = reader.take(UNPACKED_BYTES_MAX as u64 + 1).read_to_end(&mut unpacked);
    match read {
        Err(cause) => Err(Packed::Broken { method: method.to_owned(), cause: cause.to_string() }),
        Ok(bytes) if bytes > UNPACKED_BYTES_MAX => Err(Packed::TooLarge),
        Ok(_) => Ok(unpacked.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;
    use std::io::Write;

    fn zlib(text: &[u8]) -> Vec<u8> {
        let mut writer = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
        writer.write_all(text).unwrap();
        writer.finish().unwrap()
    }

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        writer.write_all(text).unwrap();
        writer.finish().unwrap()
    }

    fn bzip2(text: &[u8]) -> Vec<u8> {
        let mut writer = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
        writer.write_all(text).unwrap();
        writer.finish().unwrap()
    }

    #[rstest]
    #[case(None, b"{}".to_vec())]
    #[case(Some(""), b"{}".to_vec())]
    #[case(Some("application/x-gzip"), zlib(b"{}"))]
    #[case(Some("application/x-gzip"), gzip(b"{}"))]
    #[case(Some("application/x-bz2"), bzip2(b"{}"))]
    fn a_packed_body_comes_out_as_it_was(#[case] method: Option<&str>, #[case] body: Vec<u8>) {
        assert_eq!(unpack(method, body.into()), (Bytes::from_static(b"{}"), None));
    }

    #[rstest]
    #[case("application/x-gzip", b"{}".to_vec(), "not application/x-gzip")]
    #[case("application/x-bz2", b"{}".to_vec(), "not application/x-bz2")]
    #[case("application/x-gzip", zlib(&[b'x'; 999])[..9].to_vec(), "not application/x-gzip")]
    #[case("zstd", b"{}".to_vec(), "\"zstd\"")]
    #[case("application/x-gzip", zlib(&vec![0; UNPACKED_BYTES_MAX + 1]), "more than")]
    #[case("application/x-bz2", bzip2(&vec![0; UNPACKED_BYTES_MAX + 1]), "more than")]
    fn what_cannot_be_unpacked_stays_raw_and_says_why(#[case] method: &str, #[case] body: Vec<u8>, #[case] why: &str) {
        let (raw, packed) = unpack(Some(method), body.clone().into());
        assert_eq!(raw, body);
        assert!(packed.as_ref().unwrap().to_string().contains(why), "{packed:?}");
    }
}
