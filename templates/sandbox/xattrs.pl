# Prints the extended attributes of trees: ACLs, capabilities, and what overlayfs keeps in them.
#
# Usage: xattrs.pl TREE...
# Standard output, texts that end with a NUL each. For each tree: path and attributes of every entry that has some
# (`.` or `./NAME...`; `NAME=HEX`, sorted, with a blank in between); then an empty text, the number of entries of the
# tree and the bytes of its files. No link is followed, no other file system is entered, nothing is opened but folders.
use strict;
use warnings;

# Its numbers: sys/syscall.ph takes ten times as long to read.
BEGIN { require($0 =~ s{^(?!/)}{./}r =~ s{[^/]*$}{calls.pl}r) }

my ($list_call, $get_call) = @{{numbers(machine())}}{qw(llistxattr lgetxattr)};
# The kernel's bound for a list of names, and for a value (xattr(7)).
my $room = 65536;
# EOPNOTSUPP: a file system without attributes.
use constant NOT_SUPPORTED => 95;
my ($entries, $bytes);
for my $tree (@ARGV) {
    chdir $tree or die "$tree: $!\n";
    ($entries, $bytes) = (0, 0);
    my $device = (lstat '.')[0];
    look('.');
    my @left = ('.');
    while (defined(my $folder = shift @left)) {
        opendir(my $handle, $folder) or die "$folder: $!\n";
        for my $name (sort readdir $handle) {
            next if $name eq '.' || $name eq '..';
            my $file = "$folder/$name";
            my $there = look($file);
            push @left, $file if -d _ && $there == $device;
        }
    }
    print "\0$entries\0$bytes\0";
}
close STDOUT or die "standard output: $!\n";

sub look {
    my ($file) = @_;
    my @stat = lstat $file or die "$file: $!\n";
    $entries += 1;
    $bytes += $stat[7] if -f _;
    my $names = ask($list_call, $file);
    if ($names ne '') {
        my @values = map { "$_=" . unpack 'H*', ask($get_call, $file, $_) } sort split /\0/, $names;
        print "$file\0@values\0";
        lstat $file;
    }
    return $stat[0];
}

sub ask {
    my ($call, @of) = @_;
    my $buffer = "\0" x $room;
    my $length = syscall $call, @of, $buffer, $room;
    return '' if $length < 0 && $! == NOT_SUPPORTED;
    die "$of[0]: $!\n" if $length < 0;
    return substr $buffer, 0, $length;
}
