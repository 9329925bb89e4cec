"""Sizes of a Rasid encoder, under the names of its config.json."""

from transformers import PretrainedConfig


class RasidConfig(PretrainedConfig):
    """An encoder as ModernBERT's, with kinds of token (`type_vocab_size`) and types of lexicon terms (`lexicon_types`) beside the tokens.

    Every `global_attn_every_n_layers`-th layer sees the whole sentence; in the others a token sees `local_attention // 2` to each side.
    `classifier_pooling` is `mean` (over the sentence's own tokens, its two marks included) or `cls`.
    """

    model_type = "rasid"

    def __init__(
        self,
        vocab_size=16384,
        hidden_size=256,
        intermediate_size=384,
        num_hidden_layers=4,
        num_attention_heads=4,
        max_position_embeddings=512,
        type_vocab_size=3,
        lexicon_types=None,
        norm_eps=1e-5,
        global_rope_theta=10000.0,
        local_rope_theta=10000.0,
        global_attn_every_n_layers=1,
        local_attention=128,
        classifier_pooling="mean",
        hidden_activation="gelu",
        initializer_range=0.02,
        **kwargs,
    ):
        self.vocab_size = vocab_size
        self.hidden_size = hidden_size
        self.intermediate_size = intermediate_size
        self.num_hidden_layers = num_hidden_layers
        self.num_attention_heads = num_attention_heads
        self.max_position_embeddings = max_position_embeddings
        self.type_vocab_size = type_vocab_size
        self.lexicon_types = lexicon_types or []
        self.norm_eps = norm_eps
        self.global_rope_theta = global_rope_theta
        self.local_rope_theta = local_rope_theta
        self.global_attn_every_n_layers = global_attn_every_n_layers
        self.local_attention = local_attention
        self.classifier_pooling = classifier_pooling
        self.hidden_activation = hidden_activation
        self.initializer_range = initializer_range
        super().__init__(**kwargs)
