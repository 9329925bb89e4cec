"""Writes an exported classifier as ONNX, for programs that run neither Rust nor PyTorch.

    rasid models export MODEL --to transformers --output exported
    python models/to_onnx.py exported/incident incident.onnx

Needs torch, transformers and onnx (tests/python/requirements.txt has the versions that are tested). Inputs are `input_ids` and
`attention_mask` (batch, tokens), of any size; the output is `logits` (batch, labels). The tokenizer is tokenizer.json of the folder.
"""

import argparse

import torch
from transformers import AutoModelForSequenceClassification


class Logits(torch.nn.Module):
    """The classifier with tensors in and a tensor out."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, input_ids, attention_mask):
        return self.model(input_ids=input_ids, attention_mask=attention_mask).logits


def export(folder, path):
    model = AutoModelForSequenceClassification.from_pretrained(folder, attn_implementation="eager", dtype=torch.float32)
    ids = torch.tensor([[model.config.bos_token_id or 0, 5, 6, 7, 8], [0, 9, 10, 11, 12]])
    mask = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])
    axes = {0: "batch", 1: "tokens"}
    torch.onnx.export(
        Logits(model.eval()), (ids, mask), path, dynamo=False, opset_version=17,
        input_names=["input_ids", "attention_mask"], output_names=["logits"],
        dynamic_axes={"input_ids": axes, "attention_mask": axes, "logits": {0: "batch"}},
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", help="a folder that `rasid models export --to transformers` wrote, of one head")
    parser.add_argument("output", help="the .onnx file to write")
    arguments = parser.parse_args()
    export(arguments.folder, arguments.output)
