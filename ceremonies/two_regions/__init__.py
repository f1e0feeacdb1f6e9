"""Two regions on one machine: a licence of one, shown, accepted, refused and asked about in the other.

Two nodes run as processes of their own, each with its database, tokens and CAs; the story goes through their HTTP addresses
alone, as people and other systems would. Development only: everything in it says 样本.
"""
