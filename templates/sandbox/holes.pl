#!/usr/bin/perl
# Gives large files of a tree one form, whatever disk they lie on and whoever wrote them: the same content has the same holes.
# A file with 1 MiB of zeros or more, in whole blocks of 4096 bytes, is sparse: each of these blocks is a hole. If there is such
# a file, all others have none.
#
# Arguments: the tree; a file of paths below it, each ended by NUL: those of 1 MiB or more, and those that have holes; a file for
# attributes, which is made. Prints for each sparse file the number of its path in the list and the bytes of its holes, and `changed`
# if a file was given another form.
use strict;
use warnings;
use Fcntl qw(O_RDWR O_RDONLY O_NOFOLLOW O_NONBLOCK SEEK_SET);

use constant { BLOCK => 4096, CHUNK => 1 << 20, SPARSE => 1 << 20, SEEK_DATA => 3, SEEK_HOLE => 4 };

my ($root, $list, $kept) = @ARGV;
my $zeros = "\0" x BLOCK;
my $many = "\0" x CHUNK;

# The number of blocks that are not zero, and whether one that is takes room.
sub scan {
    my ($file, $size) = @_;
    my ($full, $loose, $at) = (0, 0, 0);
    while ($at < $size) {
        my $data = sysseek($file, $at, SEEK_DATA);
        last unless defined $data;
        my $end = sysseek($file, $data, SEEK_HOLE);
        $end = $size if !defined $end || $end > $size;
        $data -= $data % BLOCK;
        while ($data < $end) {
            sysseek($file, $data, SEEK_SET) // die "seek: $!";
            my $length = sysread($file, my $piece, $end - $data < CHUNK ? $end - $data : CHUNK) // die "read: $!";
            last if $length == 0;
            if ($length == CHUNK && $piece eq $many) {
                $loose = 1;
            } else {
                for (my $place = 0; $place < $length; $place += BLOCK) {
                    my $block = substr($piece, $place, BLOCK);
                    if ($block eq substr($zeros, 0, length $block)) { $loose = 1 }
                    else { $full++ }
                }
            }
            $data += $length;
        }
        $at = $end;
    }
    return ($full, $loose);
}

sub run { system({ $_[0] } @_) == 0 or die "$_[0] has failed\n" }

my $changed = 0;

# Changes how a file lies on the disk, and nothing else of it: owner, times, attributes and capabilities stay.
sub change {
    my ($path, $body) = @_;
    $changed = 1;
    unlink $kept;
    run('cp', '--attributes-only', '--preserve=all', '--no-dereference', '--', $path, $kept);
    $body->();
    run('cp', '--attributes-only', '--preserve=mode,ownership,timestamps,xattr', '--', $kept, $path);
    unlink $kept or die "$kept: $!";
}

sub dig {
    my ($path, $size) = @_;
    run('fallocate', '--dig-holes', '--', $path);
    # The last block may be cut off by the end: then it is no block to dig.
    my $rest = $size % BLOCK;
    return if $rest == 0;
    sysopen(my $file, $path, O_RDWR | O_NOFOLLOW) or die "$path: $!";
    sysseek($file, $size - $rest, SEEK_SET) // die "$path: $!";
    sysread($file, my $piece, $rest) // die "$path: $!";
    if ($piece eq substr($zeros, 0, $rest)) {
        truncate($file, $size - $rest) or die "$path: $!";
        truncate($file, $size) or die "$path: $!";
    }
    close($file) or die "$path: $!";
}

open(my $names, '<', $list) or die "$list: $!";
local $/ = "\0";
my @paths = <$names>;
chomp @paths;
my (@sparse, @dense);
for my $number (0 .. $#paths) {
    my $path = "$root/$paths[$number]";
    sysopen(my $file, $path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK) or die "$path: $!";
    my ($size, $allocated) = (stat $file)[7, 12];
    next if $size == 0;
    my $blocks = int(($size + BLOCK - 1) / BLOCK);
    my ($full, $loose) = $size < SPARSE ? ($blocks, 0) : scan($file, $size);
    my $holes = ($blocks - $full) * BLOCK;
    if ($holes >= SPARSE) { push @sparse, [$number, $path, $size, $holes, $loose] }
    elsif ($allocated * 512 < $size) { push @dense, [$path, $size] }
}
for (@sparse) {
    my ($number, $path, $size, $holes, $loose) = @$_;
    change($path, sub { dig($path, $size) }) if $loose;
    print "$number $holes\n";
}
if (@sparse) {
    for (@dense) {
        my ($path, $size) = @$_;
        change($path, sub { run('fallocate', '--length', $size, '--', $path) });
    }
}
print "changed\n" if $changed;
