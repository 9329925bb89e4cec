"""A Rasid encoder and its classifier in PyTorch. Shapes: B texts, T tokens, D hidden, H heads, L labels."""

import torch
from torch import nn
from torch.nn import functional as F
from transformers import PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput, SequenceClassifierOutput

from .configuration_rasid import RasidConfig


def norm(config):
    return nn.LayerNorm(config.hidden_size, eps=config.norm_eps, bias=False)


def rotary(n_positions, head_dim, theta, like):
    """Cosines and sines (T, head_dim) of the angles `position * theta^(-2i/head_dim)`, in the half-split form."""
    # In f64 as the program does; not a buffer, because a table of long positions in f16 would lose the angles.
    steps = torch.arange(0, head_dim, 2, dtype=torch.float64, device="cpu")
    angles = torch.outer(torch.arange(n_positions, dtype=torch.float64, device="cpu"), theta ** (-steps / head_dim))
    angles = torch.cat([angles, angles], -1)
    return angles.cos().to(like.device, like.dtype), angles.sin().to(like.device, like.dtype)


def turned(x, cos, sin):
    """Channel i of (B, H, T, head_dim) turned with channel i + head_dim / 2."""
    first, second = x.chunk(2, -1)
    return x * cos + torch.cat([-second, first], -1) * sin


class RasidEmbeddings(nn.Module):
    def __init__(self, config):
        super().__init__()
        d, n_types, n_terms = config.hidden_size, config.type_vocab_size, len(config.lexicon_types)
        self.tok_embeddings = nn.Embedding(config.vocab_size, d)
        self.token_type_embeddings = nn.Embedding(n_types, d) if n_types else None
        self.lexicon_embeddings = nn.Embedding(n_terms, d) if n_terms else None
        self.norm = norm(config)

    def forward(self, input_ids, token_type_ids, term_types):
        x = self.tok_embeddings(input_ids)  # (B, T, D)
        if self.token_type_embeddings is not None:
            # A network that knows fewer kinds of token takes the further ones for its last.
            last = self.token_type_embeddings.num_embeddings - 1
            x = x + self.token_type_embeddings(token_type_ids.clamp(max=last))
        if self.lexicon_embeddings is not None and term_types is not None:
            weight = self.lexicon_embeddings.weight
            bits = term_types[..., None] >> torch.arange(len(weight), device=weight.device) & 1  # (B, T, types)
            x = x + bits.to(weight.dtype) @ weight
        return self.norm(x)


class RasidLayer(nn.Module):
    def __init__(self, config, index):
        super().__init__()
        d, f = config.hidden_size, config.intermediate_size
        self.n_heads = config.num_attention_heads
        # The first follows the norm of the embeddings directly.
        self.attn_norm = norm(config) if index else nn.Identity()
        self.attn = nn.ModuleDict({"Wqkv": nn.Linear(d, 3 * d, bias=False), "Wo": nn.Linear(d, d, bias=False)})
        self.mlp_norm = norm(config)
        self.mlp = nn.ModuleDict({"Wi": nn.Linear(d, 2 * f, bias=False), "Wo": nn.Linear(f, d, bias=False)})

    def forward(self, x, mask, cos, sin):
        b, t, d = x.shape
        qkv = self.attn["Wqkv"](self.attn_norm(x)).view(b, t, 3, self.n_heads, -1)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # (B, H, T, head_dim) each
        attended = F.scaled_dot_product_attention(turned(q, cos, sin), turned(k, cos, sin), v, attn_mask=mask)
        x = x + self.attn["Wo"](attended.transpose(1, 2).reshape(b, t, d))
        inner, gate = self.mlp["Wi"](self.mlp_norm(x)).chunk(2, -1)
        return x + self.mlp["Wo"](F.gelu(inner) * gate)


class RasidPreTrainedModel(PreTrainedModel):
    config_class = RasidConfig
    base_model_prefix = "model"
    _supports_sdpa = True
    _no_split_modules = ["RasidEmbeddings", "RasidLayer"]


class RasidModel(RasidPreTrainedModel):
    """Token ids → one vector a token."""

    def __init__(self, config):
        super().__init__(config)
        self.embeddings = RasidEmbeddings(config)
        self.layers = nn.ModuleList(RasidLayer(config, i) for i in range(config.num_hidden_layers))
        self.final_norm = norm(config)
        self.post_init()

    def get_input_embeddings(self):
        return self.embeddings.tok_embeddings

    def set_input_embeddings(self, value):
        self.embeddings.tok_embeddings = value

    def forward(
        self, input_ids, attention_mask=None, token_type_ids=None, term_types=None, output_hidden_states=None, return_dict=None
    ):
        """All (B, T), whole numbers. `token_type_ids`: 0 sentence, 1 headline, 2 sentence before; all 0 if not given. `term_types`: bit i
        says that the token lies in a term of type i of `config.lexicon_types`. Of `hidden_states`, the first is behind the embeddings
        and the last behind the final norm."""
        config, t = self.config, input_ids.shape[1]
        if attention_mask is None:
            attention_mask = torch.ones_like(input_ids)
        if token_type_ids is None:
            token_type_ids = torch.zeros_like(input_ids)
        if output_hidden_states is None:
            output_hidden_states = config.output_hidden_states
        positions = torch.arange(t, device=input_ids.device)
        distance = (positions[:, None] - positions).abs()
        # Padding sees itself: a row that sees nothing would be no number.
        whole = attention_mask[:, None, None, :].bool() | (distance == 0)  # (B, 1, T, T)
        window = whole & (distance <= config.local_attention // 2)

        x = self.embeddings(input_ids, token_type_ids, term_types)
        head_dim = config.hidden_size // config.num_attention_heads
        far = rotary(t, head_dim, config.global_rope_theta, x)
        near = rotary(t, head_dim, config.local_rope_theta, x)
        states = [x]
        for i, layer in enumerate(self.layers):
            is_global = i % config.global_attn_every_n_layers == 0
            x = layer(x, whole if is_global else window, *(far if is_global else near))
            states.append(x)
        x = self.final_norm(x)
        states[-1] = x
        output = BaseModelOutput(last_hidden_state=x, hidden_states=tuple(states) if output_hidden_states else None)
        return output.to_tuple() if return_dict is False else output


class RasidForSequenceClassification(RasidPreTrainedModel):
    """One head: its logits are divided by its temperature, so that their softmax is the program's probabilities, before it strikes out
    answers of two heads that the schema says never stand together."""

    def __init__(self, config):
        super().__init__(config)
        self.num_labels = config.num_labels
        self.model = RasidModel(config)
        self.classifier = nn.Linear(config.hidden_size, config.num_labels)
        self.post_init()

    def forward(
        self,
        input_ids,
        attention_mask=None,
        token_type_ids=None,
        term_types=None,
        labels=None,
        output_hidden_states=None,
        return_dict=None,
    ):
        """As [`RasidModel.forward`]; `labels` (B), ids, ask for the loss."""
        encoded = self.model(input_ids, attention_mask, token_type_ids, term_types, output_hidden_states)
        x = encoded.last_hidden_state
        # The sentence's own tokens, its two marks included; not its context, not padding.
        own = torch.ones_like(input_ids, dtype=torch.bool) if attention_mask is None else attention_mask.bool()
        if token_type_ids is not None:
            own = own & (token_type_ids == 0)
        if self.config.classifier_pooling == "cls":
            own = own & (own.cumsum(1) == 1)
        own = own.to(x.dtype)[..., None]  # (B, T, 1)
        pooled = (x * own).sum(1) / own.sum(1).clamp(min=1)  # (B, D)
        logits = self.classifier(pooled)  # (B, L)
        loss = None if labels is None else F.cross_entropy(logits.float(), labels.view(-1))
        output = SequenceClassifierOutput(loss=loss, logits=logits, hidden_states=encoded.hidden_states)
        return output.to_tuple() if return_dict is False else output
