//! Weights on a device on which we have no kernels: the network computes there, by [`plain`](super::plain) operations, and the
//! optimizer here.

use super::weights::Weights;
use crate::error::{Error, Result};
use candle_core::{Device, Var};
use std::collections::BTreeMap;

/// Variables on a device with the values of weights on the CPU.
pub struct Replica {
    variables: BTreeMap<String, Var>,
}

/// The device of a name: `cpu`, `cuda`, `cuda:1`.
///
/// # Errors
/// There is no such device, or this program was built without it.
pub fn device(name: &str) -> Result<Device> {
    let number = match name {
        "cpu" => return Ok(Device::Cpu),
        "cuda" => Some(0),
        _ => name.strip_prefix("cuda:").and_then(|number| number.parse().ok()),
    };
    let Some(number) = number else {
        return Err(Error::Usage(format!("--device {name}: found \"{name}\"; expected cpu, cuda or cuda:NUMBER")));
    };
    if !cfg!(feature = "cuda") {
        let way = "build with `cargo build --release --features cuda`, which needs NVIDIA's CUDA toolkit, or leave --device out";
        return Err(Error::Usage(format!("--device {name}: this program was built without CUDA; {way}")));
    }
    Device::new_cuda(number).map_err(|e| Error::Usage(format!("--device {name}: no such device ({e})")))
}

impl Replica {
    /// Copies weights to a device.
    ///
    /// # Errors
    /// The device's memory is full.
    pub fn new(weights: &Weights, device: &Device) -> Result<Replica> {
        let copy = |(name, tensor): (&String, &candle_core::Tensor)| {
            Ok((name.clone(), Var::from_tensor(&tensor.detach().to_device(device)?)?))
        };
        Ok(Replica { variables: weights.0.iter().map(copy).collect::<Result<_>>()? })
    }

    /// The variables, to build a network of.
    pub fn weights(&self) -> Weights {
        let shared = |(name, variable): (&String, &Var)| (name.clone(), variable.as_tensor().clone());
        Weights(self.variables.iter().map(shared).collect())
    }

    /// Takes the values of the weights that it was made of, after a step; networks built of [`weights`](Self::weights) see them.
    ///
    /// # Errors
    /// A weight is gone or has another shape.
    pub fn refresh(&self, weights: &Weights) -> Result<()> {
        for (name, variable) in &self.variables {
            variable.set(&weights.0[name].detach().to_device(variable.device())?)?;
        }
        Ok(())
    }
}
