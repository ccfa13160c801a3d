# Turns lexicon.tsv into a hash table in C for lexicon.c, so that nothing has to be built when the program
# starts and the workers share its pages. Run with LC_ALL=C: a character is a byte.
#
# The table is open addressing with linear probing; its size is a prime and well above twice the number of tokens. The hash
# must be the one of lexicon.c.

BEGIN {
    FS = "\t"
    SLOTS = 16381
    for (i = 1; i < 256; i++)
        byte[sprintf("%c", i)] = i
}

NR == 1 { # the attribution
    next
}

NF != 2 || length($1) > 255 || $2 !~ /^-?[0-9]\.[0-9]$/ {
    printf "%s:%d: expected a token, a tab and a valence with one decimal\n", FILENAME, NR > "/dev/stderr"
    failed = 1
    exit 1
}

# Words are looked up in lower case and hold no white space: what has either can never be found, in the reference
# implementation neither. The two tokens outside ASCII end in a capital thorn.
$1 ~ /[A-Z \200-\377]/ {
    next
}

# Of tokens that occur twice the last counts, as in the reference implementation.
{
    if (!($1 in tenths))
        tokens[++n] = $1
    sub(/\./, "", $2)
    tenths[$1] = $2 + 0
}

function hash(token,    i, h) {
    for (i = 1; i <= length(token); i++)
        h = (h * 31 + byte[substr(token, i, 1)]) % SLOTS
    return h
}

function literal(token,    i, c, escaped) {
    for (i = 1; i <= length(token); i++) {
        c = substr(token, i, 1)
        escaped = escaped (index("\\\"?", c) ? "\\" : "") c # the question mark because of trigraphs
    }
    return "\"" escaped "\""
}

END {
    if (failed)
        exit 1
    print "static const char TOKENS[] ="
    for (i = 1; i <= n; i++) {
        token = tokens[i]
        print "    " literal(token)
        for (slot = hash(token); slot in row; slot = (slot + 1) % SLOTS)
            ;
        row[slot] = sprintf("{%d, %d, %d}", offset, length(token), tenths[token])
        offset += length(token)
        if (length(token) > longest)
            longest = length(token)
    }
    print "    \"\";"
    print "enum { SLOTS = " SLOTS ", LONGEST = " longest " };"
    print "static const struct slot TABLE[SLOTS] = {"
    for (slot = 0; slot < SLOTS; slot++)
        if (slot in row)
            print "    [" slot "] = " row[slot] ","
    print "};"
}
