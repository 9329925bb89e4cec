"""The network of a model directory for other engines: as a PyTorch module and as an ONNX graph, from the same weights."""
import numpy as np
import onnx, torch, torch.nn as nn, torch.nn.functional as F
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import load_file
from shell import Shell

N_TYPES = "embeddings.lexicon_embeddings.weight"


class Weights(Shell):
    def __init__(self, directory):
        super().__init__(directory)
        c = self.config
        assert c["global_attn_every_n_layers"] == 1, "layers with a window are not compared"
        stored = {n: t for n, t in load_file(f"{directory}/model.safetensors").items() if not n.startswith("ngrams.")}
        # Whole numbers of eight bits have a scale a row.
        scale = lambda n: stored[n + "_scale"][:, None] if n + "_scale" in stored else 1
        self.tensors = {n: t.astype(np.float32) * scale(n) for n, t in stored.items() if not n.endswith("_scale")}
        self.d, self.heads, self.layers = c["hidden_size"], c["num_attention_heads"], c["num_hidden_layers"]
        self.eps = c["norm_eps"]
        self.answers = [h["name"] for h in c["heads"]]
        hd = self.d // self.heads
        angles = np.outer(np.arange(c["max_position_embeddings"]), c["global_rope_theta"] ** -(np.arange(0, hd, 2) / hd))
        self.cos, self.sin = (np.tile(f(angles), 2).astype(np.float32) for f in (np.cos, np.sin))

    def __getitem__(self, name):
        return self.tensors[name]


class Layer(nn.Module):
    def __init__(self, w, i):
        super().__init__()
        self.heads, d = w.heads, w.d
        linear = lambda name: self.linear(w[f"layers.{i}.{name}.weight"])
        norm = lambda name: self.norm(w[f"layers.{i}.{name}.weight"], w.eps)
        self.n1 = norm("attn_norm") if i else nn.Identity()
        self.qkv, self.o, self.n2 = linear("attn.Wqkv"), linear("attn.Wo"), norm("mlp_norm")
        self.wi, self.wo = linear("mlp.Wi"), linear("mlp.Wo")

    @staticmethod
    def linear(weight, bias=None):
        layer = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None)
        layer.weight.data = torch.from_numpy(weight.copy())
        if bias is not None:
            layer.bias.data = torch.from_numpy(bias.copy())
        return layer

    @staticmethod
    def norm(weight, eps):
        layer = nn.LayerNorm(len(weight), eps=eps, bias=False)
        layer.weight.data = torch.from_numpy(weight.copy())
        return layer

    def forward(self, x, mask, cos, sin):
        b, n, d = x.shape
        q, k, v = self.qkv(self.n1(x)).view(b, n, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        turn = lambda t: (t * cos + torch.cat((-t.chunk(2, -1)[1], t.chunk(2, -1)[0]), -1) * sin).to(v.dtype)
        y = F.scaled_dot_product_attention(turn(q), turn(k), v, attn_mask=mask.to(v.dtype))
        x = x + self.o(y.transpose(1, 2).reshape(b, n, d))
        a, g = self.wi(self.n2(x)).chunk(2, -1)
        return x + self.wo(F.gelu(a) * g)


class Network(nn.Module):
    def __init__(self, w):
        super().__init__()
        table = lambda name: nn.Embedding.from_pretrained(torch.from_numpy(w[name].copy()))
        self.table = table("embeddings.tok_embeddings.weight")
        self.types = table("embeddings.token_type_embeddings.weight") if w.types else None
        self.lexicon = nn.Parameter(torch.from_numpy(w[N_TYPES].copy())) if w.lexicon else None
        self.n0, self.n1 = Layer.norm(w["embeddings.norm.weight"], w.eps), Layer.norm(w["final_norm.weight"], w.eps)
        self.layers = nn.ModuleList(Layer(w, i) for i in range(w.layers))
        self.answers = nn.ModuleList(Layer.linear(w[f"classifier.{a}.weight"], w[f"classifier.{a}.bias"]) for a in w.answers)
        self.cos, self.sin = torch.from_numpy(w.cos), torch.from_numpy(w.sin)

    def forward(self, ids, mask, pool, types=None, lexicon=None):
        x = self.table(ids)
        if self.types is not None:
            x = x + self.types(types)
        if self.lexicon is not None:
            x = x + lexicon @ self.lexicon
        x, n = self.n0(x), ids.shape[1]
        for layer in self.layers:
            x = layer(x, mask, self.cos[:n], self.sin[:n])
        pooled = (pool @ self.n1(x).float())[:, 0]
        return [answer(pooled) for answer in self.answers]


def onnx_model(w):
    """The graph that an exporter would write, opset 20; (B, N) ids to one output a head."""
    nodes, constants = [], []

    def constant(name, value):
        constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def node(op, *inputs, n=1, **attributes):
        outputs = [f"{op.lower()}_{len(nodes)}_{i}" for i in range(n)]
        nodes.append(helper.make_node(op, list(inputs), outputs, **attributes))
        return outputs[0] if n == 1 else outputs

    ints = lambda name, *values: constant(name, np.array(values, np.int64))
    hd = w.d // w.heads
    split, merged = ints("split", 0, 0, 3, w.heads, hd), ints("merged", 0, 0, w.d)
    zero, one, first, second = ints("zero", 0), ints("one", 1), ints("first", 0), ints("second", 1)
    cos, sin = constant("cos", w.cos), constant("sin", w.sin)
    scale = constant("scale", np.array(1 / np.sqrt(hd), np.float32))
    norm = lambda x, name: node("LayerNormalization", x, constant(name, w[name]), axis=-1, epsilon=w.eps)
    linear = lambda x, name: node("MatMul", x, constant(name, w[name].T))
    n_tokens = node("Slice", node("Shape", "ids"), one, ints("two", 2))
    angles = [node("Slice", t, zero, n_tokens, zero) for t in (cos, sin)]

    def turn(x):
        a, b = node("Split", x, n=2, axis=-1, num_outputs=2)
        turned = node("Concat", node("Neg", b), a, axis=-1)
        return node("Add", node("Mul", x, angles[0]), node("Mul", turned, angles[1]))

    x = node("Gather", constant("table", w["embeddings.tok_embeddings.weight"]), "ids")
    fed = [("ids", TensorProto.INT64, ["b", "n"]), ("mask", TensorProto.FLOAT, ["b", 1, 1, "n"]),
           ("pool", TensorProto.FLOAT, ["b", 1, "n"])]
    if w.types:
        fed.append(("types", TensorProto.INT64, ["b", "n"]))
        x = node("Add", x, node("Gather", constant("types_table", w["embeddings.token_type_embeddings.weight"]), "types"))
    if w.lexicon:
        fed.append(("lexicon", TensorProto.FLOAT, ["b", "n", w.lexicon]))
        x = node("Add", x, node("MatMul", "lexicon", constant("lexicon_table", w[N_TYPES])))
    x = norm(x, "embeddings.norm.weight")
    for i in range(w.layers):
        at = f"layers.{i}."
        normed = norm(x, f"{at}attn_norm.weight") if i else x
        parts = node("Split", node("Reshape", linear(normed, f"{at}attn.Wqkv.weight"), split), n=3, axis=2, num_outputs=3)
        q, k, v = (node("Transpose", node("Squeeze", p, ints(f"{at}axis{j}", 2)), perm=[0, 2, 1, 3])
                   for j, p in enumerate(parts))
        scores = node("MatMul", turn(q), node("Transpose", turn(k), perm=[0, 1, 3, 2]))
        p = node("Softmax", node("Add", node("Mul", scores, scale), "mask"), axis=-1)
        y = node("Reshape", node("Transpose", node("MatMul", p, v), perm=[0, 2, 1, 3]), merged)
        x = node("Add", x, linear(y, f"{at}attn.Wo.weight"))
        a, g = node("Split", linear(norm(x, f"{at}mlp_norm.weight"), f"{at}mlp.Wi.weight"), n=2, axis=-1, num_outputs=2)
        x = node("Add", x, linear(node("Mul", node("Gelu", a), g), f"{at}mlp.Wo.weight"))
    pooled = node("Squeeze", node("MatMul", "pool", norm(x, "final_norm.weight")), ints("axis", 1))
    for a in w.answers:
        y = linear(pooled, f"classifier.{a}.weight")
        nodes.append(helper.make_node("Add", [y, constant(f"{a}.bias", w[f"classifier.{a}.bias"])], [a]))
    outputs = [helper.make_tensor_value_info(a, TensorProto.FLOAT, ["b", None]) for a in w.answers]
    inputs = [helper.make_tensor_value_info(*f) for f in fed]
    graph = helper.make_graph(nodes, "rasid", inputs, outputs, constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
