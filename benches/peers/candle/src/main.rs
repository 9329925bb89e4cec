//! candle-transformers' ModernBERT with the encoder's weights of a model directory:
//! `rasid-peer-candle DIR INPUTS THREADS SECONDS MODE…`, as engine.py. Token types and lexicon, which it does not know, are left
//! out, and so are the heads: it has a little less to do.

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::modernbert::{Config, ModernBert};
use serde_json::{Value, json};
use std::time::Instant;

const BATCH: usize = 32;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let (dir, inputs, seconds): (_, _, f64) = (&words[0], &words[1], words[3].parse()?);
    let start = Instant::now();
    let read = |name: &str| -> Result<Value, Box<dyn std::error::Error>> {
        Ok(serde_json::from_str(&std::fs::read_to_string(name)?)?)
    };
    let mut config = read(&format!("{dir}/config.json"))?;
    config["layer_norm_eps"] = config["norm_eps"].clone();
    config["pad_token_id"] = json!(0);
    let config: Config = serde_json::from_value(config)?;
    let file = [format!("{dir}/model.safetensors")];
    // SAFETY: the benchmark's own file, which nobody writes meanwhile.
    let weights = unsafe { VarBuilder::from_mmaped_safetensors(&file, DType::F32, &Device::Cpu)? };
    let weights = weights.rename_f(|name| name.strip_prefix("model.").unwrap_or(name).to_string());
    let network = ModernBert::load(weights, &config)?;
    let load = start.elapsed().as_secs_f64();

    let all: Vec<Vec<u32>> = read(inputs)?
        .as_array()
        .ok_or("a list")?
        .iter()
        .map(|s| serde_json::from_value(s["ids"].clone()))
        .collect::<Result<_, _>>()?;
    let mut sorted = all.clone();
    sorted.sort_by_key(|s| std::cmp::Reverse(s.len()));
    let mut result = json!({"load_s": load});
    for mode in &words[4..] {
        let order = if mode == "sorted" { &sorted } else { &all };
        let batches: Vec<&[Vec<u32>]> = order.chunks(if mode == "single" { 1 } else { BATCH }).collect();
        let run = |batch: &[Vec<u32>]| -> candle_core::Result<()> {
            let n = batch.iter().map(Vec::len).max().unwrap_or(0);
            let padded = |fill: &dyn Fn(&Vec<u32>, usize) -> u32| {
                let values: Vec<u32> = batch.iter().flat_map(|s| (0..n).map(|i| fill(s, i)).collect::<Vec<_>>()).collect();
                Tensor::from_vec(values, (batch.len(), n), &Device::Cpu)
            };
            let ids = padded(&|s, i| s.get(i).copied().unwrap_or(0))?;
            let mask = padded(&|s, i| u32::from(i < s.len()))?;
            network.forward(&ids, &mask).map(drop)
        };
        run(batches[0])?;
        let (mut done, mut tokens, start) = (0, 0, Instant::now());
        // Whole batches from all over the range of lengths, until the time is up.
        while done == 0 || start.elapsed().as_secs_f64() < seconds {
            for first in 0..8 {
                for batch in batches.iter().skip(first).step_by(8) {
                    run(batch)?;
                    done += batch.len();
                    tokens += batch.iter().map(Vec::len).sum::<usize>();
                }
            }
        }
        let taken = start.elapsed().as_secs_f64();
        result[mode] = json!({"sentences_per_s": done as f64 / taken, "tokens_per_s": tokens as f64 / taken});
    }
    let status = std::fs::read_to_string("/proc/self/status")?;
    let peak = status.lines().find(|l| l.starts_with("VmHWM:")).and_then(|l| l.split_whitespace().nth(1)).ok_or("VmHWM")?;
    result["peak_mb"] = json!(peak.parse::<f64>()? / 1024.0);
    println!("{result}");
    Ok(())
}
