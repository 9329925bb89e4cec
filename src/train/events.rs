//! TensorBoard event files: scalars, written as TensorFlow's record format wants them.
//!
//! A record is: length (u64), masked CRC-32C of the length, data, masked CRC-32C of the data, all little-endian
//! (<https://www.tensorflow.org/tutorials/load_data/tfrecord>). The data is an `Event` protocol buffer
//! (`tensorflow/core/util/event.proto`: wall_time = 1, step = 2, file_version = 3, summary = 5).

use std::io::{Result, Write};

/// Writes scalars as an event file.
pub struct EventWriter<W: Write> {
    out: W,
}

impl<W: Write> EventWriter<W> {
    /// Begins a file; `wall_time` in seconds since 1970.
    ///
    /// # Errors
    /// The writer fails.
    pub fn new(mut out: W, wall_time: f64) -> Result<Self> {
        let mut event = double(1, wall_time);
        event.extend(bytes(3, b"brain.Event:2"));
        out.write_all(&record(&event))?;
        Ok(EventWriter { out })
    }

    /// Adds the value of `tag` at `step`.
    ///
    /// # Errors
    /// The writer fails.
    pub fn scalar(&mut self, tag: &str, step: u64, value: f32, wall_time: f64) -> Result<()> {
        let mut entry = bytes(1, tag.as_bytes()); // Summary.Value.tag
        entry.push(2 << 3 | 5); // Summary.Value.simple_value, 32 bits
        entry.extend(value.to_le_bytes());
        let summary = bytes(1, &entry); // Summary.value
        let mut event = double(1, wall_time);
        event.push(2 << 3);
        event.extend(varint(step));
        event.extend(bytes(5, &summary));
        self.out.write_all(&record(&event))?;
        self.out.flush()
    }
}

fn record(data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u64).to_le_bytes();
    let mut out = length.to_vec();
    out.extend(masked_crc32c(&length).to_le_bytes());
    out.extend(data);
    out.extend(masked_crc32c(data).to_le_bytes());
    out
}

fn double(field: u8, value: f64) -> Vec<u8> {
    let mut out = vec![field << 3 | 1];
    out.extend(value.to_le_bytes());
    out
}

fn bytes(field: u8, value: &[u8]) -> Vec<u8> {
    let mut out = vec![field << 3 | 2];
    out.extend(varint(value.len() as u64));
    out.extend(value);
    out
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
    out
}

fn masked_crc32c(data: &[u8]) -> u32 {
    let crc = !data.iter().fold(!0u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0x82F6_3B78 & (crc & 1).wrapping_neg()))
    });
    crc.rotate_right(15).wrapping_add(0xA282_EAD8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_crc32c() {
        // The check value of CRC-32C over "123456789" is E3069283 (Koopman's catalogue).
        let unmasked = masked_crc32c(b"123456789").wrapping_sub(0xA282_EAD8).rotate_left(15);
        assert_eq!(unmasked, 0xE306_9283);
    }

    #[test]
    fn a_file_holds_a_version_and_then_the_scalars() {
        let mut file = Vec::new();
        EventWriter::new(&mut file, 1.0).unwrap().scalar("loss", 300, 0.5, 2.0).unwrap();
        let first = u64::from_le_bytes(file[..8].try_into().unwrap()) as usize;
        assert!(file[12..12 + first].ends_with(b"brain.Event:2"));
        let second = &file[12 + first + 4..];
        let length = u64::from_le_bytes(second[..8].try_into().unwrap()) as usize;
        let event = &second[12..12 + length];
        assert_eq!(event[9..12], [2 << 3, 0xAC, 0x02]); // step 300 as a varint
        assert!(event.windows(4).any(|w| w == b"loss"));
        assert!(event.ends_with(&0.5f32.to_le_bytes()));
        assert_eq!(second.len(), 12 + length + 4);
    }
}
