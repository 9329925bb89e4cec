"""The same step in PyTorch, and both side by side: python benches/pretrain_speed.py [rounds [shape…]]

Alternates `cargo bench --bench pretrain_speed` with PyTorch (eager, fused AdamW, fp32 and bf16 autocast), the same shapes,
32 x 128 tokens without padding, 30 % of the tokens asked for, two threads. Prints medians as a table.
"""
import os, statistics, subprocess, sys, time
import torch, torch.nn as nn, torch.nn.functional as F

VOCABULARY, SEQUENCES, TOKENS, STEPS = 16_384, 32, 128, 2
SHAPES = {"4x256": (4, 256, 384, 4), "6x256": (6, 256, 384, 4), "6x384": (6, 384, 576, 6)}


class Layer(nn.Module):
    def __init__(self, d, f, heads):
        super().__init__()
        self.heads = heads
        self.n1, self.n2 = nn.LayerNorm(d, bias=False), nn.LayerNorm(d, bias=False)
        self.qkv, self.o = nn.Linear(d, 3 * d, bias=False), nn.Linear(d, d, bias=False)
        self.wi, self.wo = nn.Linear(d, 2 * f, bias=False), nn.Linear(f, d, bias=False)

    def forward(self, x, cos, sin):
        b, n, d = x.shape
        q, k, v = self.qkv(self.n1(x)).view(b, n, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        turn = lambda t: t * cos + torch.cat((-t.chunk(2, -1)[1], t.chunk(2, -1)[0]), -1) * sin
        y = F.scaled_dot_product_attention(turn(q).to(v.dtype), turn(k).to(v.dtype), v)
        x = x + self.o(y.transpose(1, 2).reshape(b, n, d))
        a, g = self.wi(self.n2(x)).chunk(2, -1)
        return x + self.wo(F.gelu(a) * g)


class Network(nn.Module):
    def __init__(self, layers, d, f, heads):
        super().__init__()
        self.table, self.types = nn.Embedding(VOCABULARY, d), nn.Embedding(3, d)
        self.n0, self.n1, self.n2 = (nn.LayerNorm(d, bias=False) for _ in range(3))
        self.layers = nn.ModuleList(Layer(d, f, heads) for _ in range(layers))
        self.dense = nn.Linear(d, d, bias=False)
        angles = torch.outer(torch.arange(TOKENS), 10_000.0 ** -(torch.arange(0, d // heads, 2) / (d // heads))).repeat(1, 2)
        self.cos, self.sin = angles.cos(), angles.sin()

    def forward(self, ids, asked, targets):
        x = self.n0(self.table(ids) + self.types(torch.zeros_like(ids)))
        for layer in self.layers:
            x = layer(x, self.cos, self.sin)
        h = self.n2(F.gelu(self.dense(self.n1(x).flatten(0, 1)[asked])))
        return F.cross_entropy((h @ self.table.weight.T).float(), targets)


def torch_rate(shape, bf16):
    network = Network(*SHAPES[shape])
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4, fused=True)
    for step in range(STEPS + 1):
        if step == 1:
            clock, processor = time.perf_counter(), time.process_time()
        ids = torch.randint(VOCABULARY, (SEQUENCES, TOKENS))
        asked = (torch.rand(SEQUENCES * TOKENS) < 0.3).nonzero()[:, 0]
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            loss = network(ids, asked, ids.flatten()[asked])
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
    n = STEPS * SEQUENCES * TOKENS
    return n / (time.perf_counter() - clock), n / (time.process_time() - processor)


def rasid_rate(shape, precision):
    command = ["cargo", "bench", "--quiet", "--bench", "pretrain_speed", "--", shape, precision]
    line = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    return float(line[2]), float(line[3])


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    shapes = sys.argv[2:] or list(SHAPES)
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    who = {
        "rasid f32": lambda s: rasid_rate(s, "f32"),
        "rasid bf16": lambda s: rasid_rate(s, "bf16"),
        "torch fp32": lambda s: torch_rate(s, False),
        "torch bf16": lambda s: torch_rate(s, True),
    }
    rates = {(name, shape): [] for name in who for shape in shapes}
    loads = []
    for _ in range(rounds):
        for shape in shapes:
            for name, rate in who.items():
                rates[name, shape].append(rate(shape))
                loads.append(os.getloadavg()[0])
                print(shape, name, *(f"{r:.0f}" for r in rates[name, shape][-1]), file=sys.stderr, flush=True)
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, median of {rounds}; load {min(loads):.1f} to {max(loads):.1f}")
    for i, unit in enumerate(["tokens/s by the clock", "tokens a second of processor time (one core)"]):
        print(f"\n| {unit} | " + " | ".join(shapes) + " |\n|---" + "|---" * len(shapes) + "|")
        for name in who:
            print(f"| {name} | " + " | ".join(f"{statistics.median(r[i] for r in rates[name, s]):,.0f}" for s in shapes) + " |")


if __name__ == "__main__":
    main()
