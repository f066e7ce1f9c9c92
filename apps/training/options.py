"""The meanings of the recipes' options, so that forms can be translated."""

from django.utils.translation import gettext_lazy as _

MEANINGS = [
    _("Pretrained encoder to start from"),
    _("A text may carry any number of labels (sigmoid) instead of exactly one (softmax)"),
    _("Which weights are trained: all, the head only, or a small module beside the frozen ones"),
    _("LoRA family: rank of the update; AdaLoRA starts at half as much again"),
    _("LoRA family: the update is scaled by alpha / rank (rsLoRA: alpha / sqrt(rank))"),
    _("LoRA family: share of input values dropped before the update"),
    _("LoRA family: which matrices of each layer are updated"),
    _("Peak learning rate of what an adapter method adds"),
    _("Prefix, P- and prompt tuning: number of virtual tokens"),
    _("Bottleneck adapter: width between its two matrices"),
    _(
        "How token vectors become one text vector: their mean, or the architecture's own way; auto "
        "takes the mean where the architecture allows it"
    ),
    _("Longer texts are cut to this many tokens"),
    _("Passes over the training split"),
    _("Peak learning rate of the encoder's top layer"),
    _("Peak learning rate of the classification head"),
    _("Each layer below the top learns this many times slower than the one above"),
    _("How the learning rate falls after the warm-up"),
    _("Share of all steps over which the learning rate rises"),
    _("Decoupled weight decay on matrices"),
    _("Texts in one micro-batch"),
    _("A micro-batch is split when its texts hold more tokens than this"),
    _("Micro-batches in one optimiser step"),
    _("Gradients are scaled down to this norm; 0 leaves them"),
    _("Share of values dropped in the encoder and before the head"),
    _("Share of input tokens hidden behind the mask token while training"),
    _("Share of the target spread over all labels"),
    _("Where the head starts: fitted on the frozen encoder (a linear probe), or at random"),
    _("Weight of the agreement between two dropout passes (R-Drop); doubles the cost when above 0"),
    _("Decay per step of the moving average of weights that is kept as the model; 0 keeps the last weights"),
    _("Dev metric that chooses the best epoch"),
    _("Stop after this many epochs without a better dev metric; 0 never stops early"),
    _("Multi-label only: a label is given from this probability on"),
    _(
        "The label of texts that are about none of the others: it is not learnt as one of them, but given where no other "
        "fits; its training rows teach not to be sure"
    ),
    _("Share of the dev texts about one of the labels that may be turned away: it sets the bound"),
    _("Name of the split to learn from"),
    _("Name of the split that chooses the best epoch"),
    _("Name of the split that is measured once at the end"),
    _("Share of train held out as dev when the dataset has no dev split; 0 learns from all and keeps the last epoch"),
    _("Save a checkpoint every so many optimiser steps; 0 saves by time only"),
    _("Save a checkpoint when the last one is older than this"),
    _("Seed of shuffling, dropout and new weights"),
    _("Processes that share the rows of every step; 0 takes one for each GPU, and one without a GPU"),
    _(
        "What each of several processes holds: everything (data parallel), or its share of weights, gradients and "
        "optimiser (fully sharded)"
    ),
    _("Numbers of the forward pass; weights and optimiser stay fp32; auto takes bf16 on a GPU that has it"),
    _("Keep only what enters each layer and compute the rest again on the way back: less memory, more time"),
    _("Model that writes to start from, or a new one of the shape given below"),
    _("System message put before pairs and questions, such as “Translate into Chinese”; chats keep their own"),
    _("Rows of dev and of test whose answers are written at the end and compared with the given ones; 0 writes none"),
    _("Model that writes, tuned on answers before; it is also what the run is held against"),
    _("How dearly leaving the base model is paid; larger stays closer to it"),
    _("Share of pairs that are taken to be the wrong way round (conservative DPO)"),
    _("Weight of the chosen answers' own loss beside the preference"),
    _("Pairs in one micro-batch"),
    _("Pretrained encoder; the verbaliser takes a model that says words: a masked one or one that writes"),
    _(
        "Contrastive: texts of one class are drawn together, then a head is fitted on their vectors; "
        "verbaliser: a pattern asks for a word that stands for the label"
    ),
    _("Draw this many texts of each class from train; 0 learns from all"),
    _(
        "Learning curve: train and measure also at these counts a class, such as 8,16,32; "
        "each holds the smaller ones, and the largest is kept"
    ),
    _("The name of each label is learnt as one more text of it, its underscores read as spaces"),
    _("Cosines are divided by this before they are compared"),
    _("Texts of one class that stand in a batch together"),
    _("What tells the classes apart on the learnt vectors: logistic regression, or the nearest mean of a class"),
    _("Logistic regression: weight of the squared norm of its weights"),
    _("How text and word stand together: {text} is the text, {label} the place of the word"),
    _("The words of each label, such as positive: good, great; negative: bad. Empty takes the labels' names"),
    _("Take off what the model says where the text says nothing, so that no label is preferred before training"),
    _("Passes over the texts drawn; 0 leaves the base model as it is"),
    _("Peak learning rate of the base model's top layer"),
    _("Texts of one optimiser step"),
    _("A step is read in parts when its texts hold more tokens than this"),
    _("Share of values dropped in the base model"),
    _("Share of the base model in the weights that are kept: the mean of both (WiSE-FT) forgets less of what it knew"),
    _("Model version whose labels and certainty are learnt"),
    _("Keep this many layers of the base model, spread evenly over it; 0 keeps all"),
    _(
        "Numbers of the student's matrices: floats, or int8, learnt on their grid and multiplied as whole numbers; a "
        "quarter of the bytes, faster on a CPU"
    ),
    _("The teacher's and the student's logits are divided by this before they are compared"),
    _("Model version that writes and whose certainty of each token is learnt"),
    _("Weight of the tokens of the given answers beside the teacher's certainty"),
    _("Weight of the given labels beside the teacher's; texts without a label learn from the teacher alone"),
    _("Transformer layers"),
    _("Width of the hidden vectors; a multiple of heads"),
    _("Attention heads"),
    _("Key-value heads; fewer than heads shares them (grouped queries)"),
    _("Width of the feed-forward layer; 0 takes 8/3 of the width, rounded up to 16"),
    _("Longest sequence the model can read"),
    _("Most entries of the byte-level BPE learnt on the data"),
    _("Input and output embeddings are one matrix"),
    _("How messages become tokens"),
    _("Which tokens are learnt: the assistant's answers, or everything"),
    _("Stop after this many optimiser steps; 0 lets epochs decide"),
    _("Peak learning rate"),
    _("The cosine ends at this share of the peak learning rate"),
    _("AdamW's memory of squared gradients"),
    _("Sequences of context_tokens in one micro-batch"),
    _("Put several chats into one sequence, kept apart by positions"),
    _("Share of values dropped after the embedding, in attention and after each half of a block"),
    _("Stop after this many epochs without a lower dev loss; 0 never stops early"),
    _("Dev chats answered at the end for the sample table"),
    _("Longest generated answer in the sample table"),
    _("Llama: rotary positions, RMS norm, SwiGLU; GPT-2: learned positions, layer norm, GELU"),
    _("Key-value heads; fewer than heads shares them (grouped queries), 0 takes as many as heads"),
    _("Width of the feed-forward layer; 0 takes 8/3 of the width, rounded up to 16 (GPT-2: 4 times the width)"),
    _("What a token is: a piece learnt by byte-level BPE, a character, a byte, or as in the base model"),
    _("Most entries of a vocabulary that is learnt from the texts"),
    _("Whose tokenizer is taken over when the vocabulary is that of the base model"),
    _("Where the weights begin: new, or with those of the base model, a GPT-2 or Llama shape, whose shape then counts"),
    _("What a sequence holds: whole documents that do not see each other, or a block of the texts one after the other"),
    _("Train on about so many tokens, whatever the epochs; 0 lets epochs decide"),
    _("Measure dev after every so many optimiser steps; 0 measures after each epoch"),
    _("Most dev tokens measured on the way; the end measures all of them. 0 always measures all"),
    _("Stop after so many measurements without a lower dev loss; 0 never stops early"),
    _("A beginning to be continued for the sample table, beside those of dev documents"),
    _("Beginnings of dev documents continued for the sample table"),
    _("Longest continuation in the sample table"),
    _("How freely continuations are drawn; 0 always takes the likeliest token"),
    _(
        "What carries a tag: words (characters in scripts without spaces), or every character; auto takes "
        "characters where most letters are Chinese, Japanese or the like"
    ),
    _(
        "Tell the encoder how each word is written (small, capital, digits); auto does so when the tokenizer "
        "makes all letters small"
    ),
    _("Longer texts are read in windows of this many tokens"),
    _("Tokens that neighbouring windows share"),
    _("Question and passage together; longer passages are read in windows"),
    _("Longest answer in tokens"),
    _("Where some training questions have no answer: “no answer” is given when it scores this much above the best one"),
    _("Windows in one micro-batch"),
    _(
        "What is done so that the base version forgets less: nothing, rows of its earlier tasks in each "
        "step, a pull to its weights (L2-SP), that pull where the earlier tasks need it (EWC), or an "
        "adapter of its own for each task"
    ),
    _("Share of each step's rows that are drawn from earlier tasks"),
    _(
        "Numbers of the dataset versions that hold the earlier tasks, separated by commas; empty takes "
        "what the base version and its own bases learnt from"
    ),
    _("L2-SP: strength of the pull to the base version's weights"),
    _("L2-SP: strength of the pull to zero for outputs that the base version does not have"),
    _("EWC: strength of the pull, multiplied by what each weight means to the earlier tasks"),
    _("EWC: rows of earlier tasks on which the meaning of each weight is estimated"),
    _(
        "Labels that the base version knows: their outputs go on beside those of the new labels, or "
        "give way to a new head"
    ),
    _("How token vectors become one text vector: their mean, or the first one; auto does as the base model was made"),
    _("Vectors have length 1, so that similarity is their cosine; without it the dot product"),
    _("Pairs, or texts with a class, in one step: each is told apart from all others of its step"),
    _("Texts of a step are read in portions of at most this many tokens; portions save memory and change nothing else"),
    _("Similarities are divided by this before the softmax; lower looks harder at the closest"),
    _("Pairs only: also find the source by its target among all sources of the step"),
    _("Classes only: texts of a class that come together into a step"),
    _(
        "Pairs with a score only: from this score on the two texts belong together; others are "
        "negatives of their source"
    ),
    _("Share of values dropped in the encoder"),
    _("Pretrained encoder to start from; one that already scores pairs goes on with its head"),
    _(
        "How token vectors become one vector of the pair: their mean, or the architecture's own way; auto "
        "takes the mean where the architecture allows it"
    ),
    _("Query and text together; of longer pairs the longer side loses its end"),
    _(
        "What is learnt: to choose the right text among its negatives, to say yes or no to each pair, or "
        "the scores that the pairs carry"
    ),
    _("Texts that do not belong to the query, beside each that does"),
    _("Where these come from: any texts, those most alike by their words (BM25), or by the vectors of the base model"),
    _("So many texts that a search by words finds for a query are brought into a new order when it is measured"),
    _("Most dev queries measured after each epoch; the end measures all of them. 0 always measures all"),
    _("Peak learning rate of the head"),
    _("Queries with their texts in one micro-batch"),
]
"""As the engine writes them; a test compares the two."""
