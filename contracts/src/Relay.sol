// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IMarketFront} from "./interfaces/IMarketFront.sol";
import {Messages} from "./libraries/Messages.sol";
import {Votes} from "./libraries/Votes.sol";
import {Settlement} from "./Settlement.sol";
import {Signatures} from "./Signatures.sol";
import {Voting} from "./Voting.sol";

/// @title Relay: a round in two transactions that anybody may send (P6.1)
/// @dev All or none, so that a relayer can stop a road and never a vote: the plain one stays open beside this.
abstract contract Relay is IMarketFront, Signatures, Voting, Settlement {
    /// @inheritdoc IMarketFront
    function commitAll(bytes32 id, bytes32[] calldata hashes, bytes[] calldata signatures) external {
        Job storage job = _toCommit(id);
        uint256 drawn = _drawnMask(job);
        uint256 count = Votes.countOnes(drawn);
        if (job.committed != 0) revert AlreadyCommitted(id, job.round, 0);
        if (hashes.length != count || signatures.length != count) revert NotAll(hashes.length, count);
        bytes32 chain;
        for (uint256 place; place < count; ++place) {
            chain = Messages.chained(chain, place, _commitOf(id, job, place, hashes[place], signatures[place]));
        }
        (job.committed, job.word) = (uint32(drawn), chain); // at most 31 places
        _enterRevealing(id, job);
    }

    /// @inheritdoc IMarketFront
    function revealAll(bytes32 id, Opening[] calldata openings) external {
        _openAll(id, openings);
    }

    /// @inheritdoc IMarketFront
    function conclude(JobTerms calldata terms, Opening[] calldata openings, bytes[] calldata signatures) external {
        bytes32 id = _idOf(terms);
        Job storage job = openings.length == 0 ? _jobs[id] : _openAll(id, openings);
        _requireState(id, job, State.Scored);
        if (_pending(job) != 0) revert DemandPending(id, job.asked.pending);
        // round 2 may fine seats of round 1, whose way to round 3 is not the parties' to give away
        if (job.round == 2) revert SeatsMayAppeal(id);
        _requireWaived(id, job, terms, signatures);
        _settle(id, job, terms);
    }

    /// @dev The draw fills places from the first, so that the n-th signature is that of place n.
    function _commitOf(bytes32 id, Job storage job, uint256 place, bytes32 hash, bytes calldata signature)
        private
        returns (bytes32)
    {
        if (hash == 0) revert ZeroWord();
        (uint32 seat, uint8 round) = (_seatAt(job, place), job.round);
        _requireSigned(_hotOf(seat), Messages.scoreCommit(id, round, seat, hash), signature);
        // a place is below 31
        emit Committed(id, seat, round, uint8(place), hash);
        return hash;
    }

    /// @dev The openings of all commits, in the order in which they were made: together they must give the chain again.
    function _openAll(bytes32 id, Opening[] calldata openings) private returns (Job storage job) {
        job = _toReveal(id);
        if (_revealed(job) != 0) revert AlreadyRevealed(id, job.round, 0);
        bytes32 chain;
        for (uint256 i; i < openings.length; ++i) {
            Opening calldata each = openings[i];
            uint32 seat = _seatAt(job, each.place);
            bytes32 hash = Messages.commitment(id, job.round, seat, each.vote, each.evidence, each.salt);
            chain = Messages.chained(chain, each.place, hash);
            _open(id, job, each.place, each.vote, each.evidence);
        }
        if (chain != job.word) revert WrongReveal(job.word, chain);
        _closeRevealing(id, job);
    }

    /// @dev The requester first, then every lane's provider, about the result that stands.
    function _requireWaived(bytes32 id, Job storage job, JobTerms calldata terms, bytes[] calldata signatures)
        private
        view
    {
        uint256 lanes = job.lanes;
        if (signatures.length != lanes + 1) revert NotAll(signatures.length, lanes + 1);
        bytes32 waiver = Messages.waiver(id, job.round, _standing(job));
        _requireSigned(terms.requester, waiver, signatures[0]);
        for (uint256 lane; lane < lanes; ++lane) {
            _requireSigned(job.lane[lane].provider, waiver, signatures[lane + 1]);
        }
    }
}
