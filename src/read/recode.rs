//! UTF-16 streams → UTF-8 streams, so that lines and rows can be found by their bytes.

use super::decode;
use super::stream::{Packing, Stream};
use std::io::{self, Cursor, Read};

/// The whole stream as bytes that agree with ASCII: UTF-16 is recoded, other encodings pass; a byte order mark is dropped.
pub fn in_utf_8(stream: Stream) -> (Box<dyn Read + Send>, Option<Packing>) {
    let head = stream.head();
    let utf_16 = decode::utf_16(head);
    let n_bom = match utf_16 {
        Some((_, n_bom)) => n_bom,
        None if head.starts_with(b"\xef\xbb\xbf") => 3,
        None => 0,
    };
    let (mut reader, packing) = stream.into_reader();
    if n_bom > 0 {
        // these bytes lie in the head: reading them cannot fail
        let _ = reader.read_exact(&mut [0; 3][..n_bom]);
    }
    match utf_16 {
        Some((encoding, _)) => {
            let decoder = encoding.new_decoder_without_bom_handling();
            (Box::new(Recoded { inner: reader, decoder, ready: Cursor::default(), at_end: false }), packing)
        }
        None => (reader, packing),
    }
}

/// Reads UTF-16, gives UTF-8.
struct Recoded {
    inner: Box<dyn Read + Send>,
    decoder: encoding_rs::Decoder,
    ready: Cursor<Vec<u8>>,
    at_end: bool,
}

impl Read for Recoded {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let n = self.ready.read(buffer)?;
            if n > 0 || self.at_end || buffer.is_empty() {
                return Ok(n);
            }
            let mut bytes = [0; 8192];
            let n = self.inner.read(&mut bytes)?;
            self.at_end = n == 0;
            let mut text = String::with_capacity(3 * n + 16);
            let (_, _, malformed) = self.decoder.decode_to_string(&bytes[..n], &mut text, self.at_end);
            if malformed {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "half a character in UTF-16"));
            }
            self.ready = Cursor::new(text.into_bytes());
        }
    }
}
